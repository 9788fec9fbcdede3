//! Tests of settings, and of the variables that they are read from.

mod addresses;
mod secret;

use std::{ffi::OsString, net::SocketAddr, time::Duration};

use super::{
    check::parse_seeds,
    label::to_label,
    seed::Seed,
    settings::{Config, FlyMachine},
};
use crate::error::StartError;

const FLY: [(&str, &str); 5] = [
    ("FLY_APP_NAME", "shop"),
    ("FLY_MACHINE_ID", "148ed"),
    ("FLY_REGION", "hkg"),
    ("FLY_PRIVATE_IP", "fdaa::3"),
    ("PRIMARY_REGION", "iad"),
];

fn on_fly() -> Config {
    Config {
        cluster: "shop".to_owned(),
        name: "148ed".to_owned(),
        region: "hkg".into(),
        primary_region: Some("iad".into()),
        seeds: seeds("shop.internal:3590"),
        fly: Some(FlyMachine { private_ip: Some("fdaa::3".parse().unwrap()) }),
        ..Config::default()
    }
}

/// Reads `vars`. If several have the same name, the last one counts.
fn read(vars: &[(&str, &str)]) -> Result<Config, StartError> {
    Config::from_vars(|name| {
        let (_, value) = vars.iter().rev().find(|(other, _)| *other == name)?;
        Some(value.into())
    })
}

/// Fly.io's variables, followed by `vars`, which may override them.
fn fly_and<'a>(vars: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    FLY.iter().chain(vars).copied().collect()
}

#[track_caller]
fn check(vars: &[(&str, &str)], expected: Config) {
    assert_eq!(read(vars).unwrap(), expected);
}

#[track_caller]
fn check_refused(vars: &[(&str, &str)], expected: &str) {
    assert_eq!(read(vars).unwrap_err().to_string(), expected);
}

/// Checks that each of `values` is refused with a message that describes the accepted values.
#[track_caller]
fn check_values_refused(variable: &str, values: &[&str], expected: &str) {
    for value in values {
        check_refused(
            &[(variable, value)],
            &format!("{variable} is `{value}`: expected {expected}"),
        );
    }
}

#[track_caller]
fn check_invalid(config: &Config, expected: &str) {
    assert_eq!(config.check_all().unwrap_err().to_string(), expected);
}

impl Config {
    fn check_all(&self) -> Result<(), StartError> {
        self.validate()?;
        self.check_addresses()
    }
}

fn seeds(list: &str) -> Vec<Seed> {
    Seed::parse_list(list).unwrap()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_laptop_needs_no_configuration() {
    let config = read(&[]).unwrap();
    assert_eq!(config, Config::default());
    config.check_all().unwrap();
    assert_eq!(config.cluster, "local");
    assert_eq!(config.region, "local");
    assert_eq!(config.primary(), "local");
    assert_eq!(config.listen_at(true), addr("127.0.0.1:0"));
    assert_eq!(config.advertise_at(addr("127.0.0.1:4567")), addr("127.0.0.1:4567"));
    assert_eq!(config.seeds, []);
    assert!(!config.hold && !config.client_only);
    assert_eq!(config.drain_timeout, Duration::from_secs(4));
    assert_eq!(config.max_body, 33_554_432);
    assert_eq!(config.max_in_flight, 8_192);
    assert_eq!(config.heartbeat, Duration::from_secs(1));
}

#[test]
fn the_default_name_is_the_host_name() {
    assert_eq!(Config::default().name, hostname::get().unwrap().to_str().unwrap());
}

#[test]
fn a_host_name_is_turned_into_a_valid_node_name() {
    assert_eq!(to_label(""), "localhost");
    assert_eq!(to_label("a\nb"), "ab");
    assert_eq!(to_label(&"é".repeat(40)), "é".repeat(32));
    assert_eq!(to_label(&"x".repeat(65)), "x".repeat(64));
}

#[test]
fn fly_io_needs_only_its_environment_and_the_primary_region() {
    check(&FLY, on_fly());
    let config = on_fly();
    config.check_all().unwrap();
    assert_eq!(config.listen_at(true), addr("[fdaa::3]:3590"));
    assert_eq!(config.advertise_at(config.listen_at(true)), addr("[fdaa::3]:3590"));
}

#[test]
fn fly_io_without_a_primary_region_is_an_error_at_start() {
    let expected = "PRIMARY_REGION is not set: on Fly.io there is no default for it; \
                    set it in the [env] section of fly.toml, or set `primary_region`";
    check_invalid(&read(&FLY[..4]).unwrap(), expected);
    check_invalid(&read(&fly_and(&[("PRIMARY_REGION", "")])).unwrap(), expected);
    let with_primary = Config { primary_region: Some("iad".into()), ..read(&FLY[..4]).unwrap() };
    with_primary.check_all().unwrap();
}

#[test]
fn fly_io_without_a_private_address_is_an_error_unless_listen_is_set() {
    let config = read(&fly_and(&[("FLY_PRIVATE_IP", "")])).unwrap();
    let expected = "FLY_PRIVATE_IP is not set: on Fly.io a node listens on that address; \
                    set `listen` (FLYRPC_LISTEN) to listen elsewhere";
    check_invalid(&config, expected);
    Config { listen: Some(addr("10.0.0.1:1")), ..config }.check_all().unwrap();
}

#[test]
fn a_machine_id_or_a_private_address_identifies_fly_io() {
    assert!(read(&[("FLY_APP_NAME", "shop"), ("FLY_MACHINE_ID", "1")]).unwrap().fly.is_some());
    assert!(read(&[("FLY_APP_NAME", "shop"), ("FLY_PRIVATE_IP", "::1")]).unwrap().fly.is_some());
    assert!(read(&[("FLY_REGION", "hkg"), ("FLY_MACHINE_ID", "1")]).unwrap().fly.is_none());
}

#[test]
fn an_app_name_alone_is_a_cluster_on_a_laptop() {
    check(&[("FLY_APP_NAME", "shop")], Config { cluster: "shop".to_owned(), ..Config::default() });
}

#[test]
fn a_laptop_can_imitate_fly_io() {
    let config = read(&fly_and(&[("FLY_PRIVATE_IP", "127.0.0.1")])).unwrap();
    config.check_all().unwrap();
    assert_eq!(config.listen_at(true), addr("127.0.0.1:3590"));
}

#[test]
fn flyrpc_variables_override_those_of_fly_io() {
    let vars = [
        ("FLYRPC_CLUSTER", "blue"),
        ("FLYRPC_LISTEN", "[fdaa::3]:1"),
        ("FLYRPC_ADVERTISE", "[fdaa::3]:2"),
        ("FLYRPC_SEEDS", "other.internal:3"),
    ];
    check(
        &fly_and(&vars),
        Config {
            cluster: "blue".to_owned(),
            listen: Some(addr("[fdaa::3]:1")),
            advertise: Some(addr("[fdaa::3]:2")),
            seeds: seeds("other.internal:3"),
            ..on_fly()
        },
    );
}

#[test]
fn names_come_from_their_variables() {
    let vars = [("FLYRPC_CLUSTER", "blue"), ("FLY_MACHINE_ID", "m1"), ("PRIMARY_REGION", "IAD")];
    check(
        &vars,
        Config {
            cluster: "blue".to_owned(),
            name: "m1".to_owned(),
            primary_region: Some("iad".into()),
            ..Config::default()
        },
    );
}

#[test]
fn fly_region_takes_precedence_over_my_region() {
    let region = |region: &str| Config { region: region.into(), ..Config::default() };
    check(&[("MY_REGION", "Hkg")], region("hkg"));
    check(&[("MY_REGION", "hkg"), ("FLY_REGION", "SYD")], region("syd"));
    check(&[("MY_REGION", "hkg"), ("FLY_REGION", "")], region("hkg"));
}

#[test]
fn listen_accepts_an_address_with_or_without_a_port() {
    let listen = |at| Config { listen: Some(addr(at)), ..Config::default() };
    check(&[("FLYRPC_LISTEN", "10.0.0.1:0")], listen("10.0.0.1:0"));
    check(&[("FLYRPC_LISTEN", "10.0.0.1")], listen("10.0.0.1:3590"));
    check(&[("FLYRPC_LISTEN", "fdaa::3")], listen("[fdaa::3]:3590"));
    check(&[("FLYRPC_LISTEN", "[fdaa::3]")], listen("[fdaa::3]:3590"));
    check(&[("FLYRPC_LISTEN", "[::]:1")], listen("[::]:1"));
}

#[test]
fn listen_accepts_a_host_name_with_or_without_a_port() {
    let listen = |name: &str| Config { listen_name: Some(name.to_owned()), ..Config::default() };
    check(&[("FLYRPC_LISTEN", "fly-local-6pn:4000")], listen("fly-local-6pn:4000"));
    check(&[("FLYRPC_LISTEN", "Fly-Local-6pn")], listen("fly-local-6pn:3590"));
    check(&[("FLYRPC_LISTEN", "localhost:0")], listen("localhost:0"));
}

#[test]
fn advertise_without_a_port_uses_the_listening_port() {
    let config = read(&[("FLYRPC_ADVERTISE", "192.0.2.1")]).unwrap();
    assert_eq!(config.advertise_at(addr("10.0.0.1:4567")), addr("192.0.2.1:4567"));
    let config = read(&[("FLYRPC_ADVERTISE", "192.0.2.1:80")]).unwrap();
    assert_eq!(config.advertise_at(addr("10.0.0.1:4567")), addr("192.0.2.1:80"));
}

#[test]
fn seeds_are_a_list() {
    let list = "app.internal, 10.0.0.1:1 [fdaa::3]:2";
    check(&[("FLYRPC_SEEDS", list)], Config { seeds: seeds(list), ..Config::default() });
}

#[test]
fn drain_timeout_accepts_units_or_plain_seconds() {
    for (text, milliseconds) in [
        ("4s", 4_000),
        ("500ms", 500),
        ("2m", 120_000),
        ("7", 7_000),
        ("0", 0),
        ("1440m", 86_400_000),
    ] {
        let drain_timeout = Duration::from_millis(milliseconds);
        let expected = Config { drain_timeout, ..Config::default() };
        check(&[("FLYRPC_DRAIN_TIMEOUT", text)], expected);
    }
}

#[test]
fn a_release_machine_serves_nothing_and_uses_a_free_port() {
    let config = read(&fly_and(&[("RELEASE_COMMAND", "1")])).unwrap();
    assert_eq!(config, Config { client_only: true, ..on_fly() });
    assert_eq!(config.listen_at(true), addr("[fdaa::3]:0"));
    config.check_all().unwrap();
}

#[test]
fn a_node_without_services_uses_a_free_port_unless_listen_is_set() {
    assert_eq!(on_fly().listen_at(false), addr("[fdaa::3]:0"));
    let with_listen = Config { listen: Some(addr("[fdaa::3]:1")), ..on_fly() };
    assert_eq!(with_listen.listen_at(false), addr("[fdaa::3]:1"));
}

#[test]
fn empty_variables_count_as_unset() {
    let variables = [
        "FLYRPC_CLUSTER",
        "FLY_APP_NAME",
        "FLY_MACHINE_ID",
        "FLY_REGION",
        "MY_REGION",
        "PRIMARY_REGION",
        "FLYRPC_LISTEN",
        "FLY_PRIVATE_IP",
        "FLYRPC_ADVERTISE",
        "FLYRPC_SEEDS",
        "FLYRPC_DRAIN_TIMEOUT",
        "RELEASE_COMMAND",
    ];
    check(&variables.map(|name| (name, "")), Config::default());
    check(&variables.map(|name| (name, " \n")), Config::default());
}

#[test]
fn white_space_around_a_value_is_ignored() {
    check(&fly_and(&[("PRIMARY_REGION", " iad\n"), ("FLY_PRIVATE_IP", " fdaa::3 ")]), on_fly());
}

#[cfg(unix)]
#[test]
fn values_that_are_not_utf_8_are_refused() {
    use std::os::unix::ffi::OsStringExt;

    let read = Config::from_vars(|name| {
        (name == "FLY_REGION").then(|| OsString::from_vec(b"hk\xff".to_vec()))
    });
    let message = read.unwrap_err().to_string();
    assert_eq!(message, "FLY_REGION is `hk\u{fffd}`: expected text in UTF-8");
}

#[test]
fn names_that_are_too_long_or_hold_control_characters_are_refused() {
    let long = "x".repeat(65);
    for variable in [
        "FLYRPC_CLUSTER",
        "FLY_APP_NAME",
        "FLY_MACHINE_ID",
        "FLY_REGION",
        "MY_REGION",
        "PRIMARY_REGION",
    ] {
        let expected = "1 to 64 bytes without control characters";
        check_values_refused(variable, &[&long, "a\u{7}b"], expected);
    }
}

#[test]
fn invalid_listen_and_advertise_addresses_are_refused() {
    let values = ["3590", ":3590", "10.0.0.1:65536", "10.0.0.1:", "[10.0.0.1", "a:", "a:+1", "a b"];
    let expected = "`ip[:port]` or `name[:port]`, with an IPv6 address before a port in brackets";
    check_values_refused("FLYRPC_LISTEN", &values, expected);
    let expected = "`ip:port` or `ip`, with an IPv6 address before a port in brackets";
    check_values_refused("FLYRPC_ADVERTISE", &values, expected);
    check_values_refused("FLYRPC_ADVERTISE", &["localhost:1", "x"], expected);
}

#[test]
fn advertising_every_interface_is_refused() {
    let expected = "the address where other nodes reach this node, not the unspecified address";
    check_values_refused("FLYRPC_ADVERTISE", &["0.0.0.0:1", "[::]:1", "::"], expected);
}

#[test]
fn invalid_private_addresses_are_refused() {
    let expected = "the machine's address in the private network";
    check_values_refused("FLY_PRIVATE_IP", &["fdaa", "fdaa::3:x", "10.0.0.1:80", "::"], expected);
}

#[test]
fn an_invalid_seed_is_named() {
    check_refused(
        &[("FLYRPC_SEEDS", "app.internal,a b:x")],
        "FLYRPC_SEEDS is `b:x`: expected `name[:port]`, `v4[:port]` or `[v6][:port]`, \
         with a port from 1 to 65535",
    );
    check_refused(
        &[("FLYRPC_SEEDS", "0.0.0.0:1")],
        "FLYRPC_SEEDS is `0.0.0.0:1`: expected the address of a node, not the unspecified address",
    );
}

#[test]
fn an_app_name_that_no_app_can_have_is_refused() {
    check_refused(
        &fly_and(&[("FLY_APP_NAME", "my shop")]),
        "FLY_APP_NAME is `my shop`: expected the name of an app on Fly.io",
    );
}

#[test]
fn invalid_drain_timeouts_are_refused() {
    let expected = "a duration such as `4s`, `500ms` or `2m`, at most 24 h";
    let values =
        ["s", "-1s", "1.5s", "4 s", "1h", "1441m", "99999999999999999999", "18446744073709551615m"];
    check_values_refused("FLYRPC_DRAIN_TIMEOUT", &values, expected);
}

#[test]
fn seeds_are_parsed_from_any_text_or_address() {
    let read = |seeds: Result<Vec<Seed>, StartError>| seeds.unwrap();
    assert_eq!(read(parse_seeds("seeds", ["a", "b,c"])), seeds("a b c"));
    assert_eq!(read(parse_seeds("seeds", vec!["a".to_owned()])), seeds("a"));
    assert_eq!(read(parse_seeds("seeds", [addr("10.0.0.1:1")])), seeds("10.0.0.1:1"));
    assert_eq!(read(parse_seeds("seeds", seeds("a:1"))), seeds("a:1"));
    assert_eq!(
        parse_seeds("seeds", ["a", "b:0"]).unwrap_err().to_string(),
        "seeds is `b:0`: expected `name[:port]`, `v4[:port]` or `[v6][:port]`, \
         with a port from 1 to 65535",
    );
}

#[test]
fn names_are_checked_at_start() {
    let base = Config::default;
    let rule = "expected 1 to 64 bytes without control characters";
    let empty = String::new;
    check_invalid(&Config { cluster: empty(), ..base() }, &format!("cluster is ``: {rule}"));
    check_invalid(&Config { name: empty(), ..base() }, &format!("name is ``: {rule}"));
    check_invalid(&Config { region: "".into(), ..base() }, &format!("region is ``: {rule}"));
    let config = Config { primary_region: Some(" ".into()), ..base() };
    check_invalid(&config, &format!("primary_region is ``: {rule}"));
    let long = "é".repeat(33);
    check_invalid(&Config { name: long.clone(), ..base() }, &format!("name is `{long}`: {rule}"));
    Config { name: "é".repeat(32), ..base() }.check_all().unwrap();
}

#[test]
fn limits_are_checked_at_start() {
    let base = Config::default;
    let hours_25 = Duration::from_secs(25 * 60 * 60);
    let config = Config { drain_timeout: hours_25, ..base() };
    check_invalid(&config, "drain_timeout is `90000s`: expected at most 24 h");
    let config = Config { heartbeat: Duration::ZERO, ..base() };
    check_invalid(&config, "heartbeat is `0ns`: expected 10 ms to 1 h");
    let config = Config { heartbeat: hours_25, ..base() };
    check_invalid(&config, "heartbeat is `90000s`: expected 10 ms to 1 h");
    let config = Config { max_body: 0, ..base() };
    check_invalid(&config, "max_body is `0`: expected 1 to 4294967295 bytes");
    let config = Config { max_in_flight: 0, ..base() };
    let expected = "max_in_flight is `0`: expected at least 1; to serve nothing, give no services";
    check_invalid(&config, expected);
}

#[cfg(target_pointer_width = "64")]
#[test]
fn a_max_body_of_more_than_32_bits_is_refused() {
    let config = Config { max_body: 1 << 32, ..Config::default() };
    check_invalid(&config, "max_body is `4294967296`: expected 1 to 4294967295 bytes");
}

#[test]
fn limits_are_read_from_variables() {
    for (text, max_body) in [("1", 1), ("64B", 64), ("512KiB", 512 << 10), ("32MiB", 32 << 20)] {
        check(&[("FLYRPC_MAX_BODY", text)], Config { max_body, ..Config::default() });
    }
    let max_body_memory = Some(2 << 30);
    check(&[("FLYRPC_MAX_BODY_MEMORY", "2GiB")], Config { max_body_memory, ..Config::default() });
    check(&[("FLYRPC_MAX_IN_FLIGHT", "64")], Config { max_in_flight: 64, ..Config::default() });
    let heartbeat = Duration::from_millis(500);
    check(&[("FLYRPC_HEARTBEAT", "500ms")], Config { heartbeat, ..Config::default() });
}

#[test]
fn the_version_comes_from_a_variable_or_from_fly_io() {
    let with = |version: &str| Config { version: version.to_owned(), ..Config::default() };
    check(&[("FLYRPC_VERSION", "2f1c9e")], with("2f1c9e"));
    check(&[("FLY_MACHINE_VERSION", "01JDX")], with("01JDX"));
    check(&[("FLY_MACHINE_VERSION", "01JDX"), ("FLYRPC_VERSION", "2f1c9e")], with("2f1c9e"));
    let long = "x".repeat(65);
    let expected =
        format!("version is `{long}`: expected 1 to 64 bytes without control characters");
    check_invalid(&with(&long), &expected);
}

#[test]
fn invalid_limits_in_variables_are_refused() {
    check_values_refused(
        "FLYRPC_MAX_BODY",
        &["0", "-1", "100 B", "4GiB", "1.5MiB", "32MB", "MiB", "99999999999999999999GiB"],
        "a size such as `32MiB`, or a number of bytes, 1 B to 4 GiB minus 1 B",
    );
    check_values_refused(
        "FLYRPC_MAX_BODY_MEMORY",
        &["-1", "lots", "17179869184GiB"],
        "a size such as `256MiB` or `2GiB`, or a number of bytes",
    );
    check_values_refused(
        "FLYRPC_MAX_IN_FLIGHT",
        &["0", "-1", "many", "1.5"],
        "a number of calls, at least 1",
    );
    check_values_refused(
        "FLYRPC_HEARTBEAT",
        &["0", "9ms", "61m", "1h", "s"],
        "a duration such as `1s` or `500ms`, 10 ms to 1 h",
    );
}

#[test]
fn the_memory_for_bodies_is_256_mebibytes_or_8_bodies_and_at_least_2() {
    let with =
        |max_body, max_body_memory| Config { max_body, max_body_memory, ..Config::default() };
    assert_eq!(Config::default().body_memory(), 256 << 20);
    assert_eq!(with(64 << 10, None).body_memory(), 256 << 20);
    assert_eq!(with(64 << 20, None).body_memory(), 512 << 20);
    assert_eq!(with(1 << 20, Some(2 << 20)).body_memory(), 2 << 20);
    with(1 << 20, Some(2 << 20)).check_all().unwrap();
    check_invalid(
        &with(1 << 20, Some((2 << 20) - 1)),
        "max_body_memory is `2097151`: expected at least 2097152 bytes, twice `max_body`",
    );
}
