//! Addresses that other nodes can reach.

use super::{Config, addr, check_invalid, check_refused, seeds};

#[test]
fn a_node_that_a_remote_seed_cannot_reach_is_an_error_at_start() {
    let base = || Config { seeds: seeds("localhost 127.0.0.1 db.internal"), ..Config::default() };
    let rule = "expected an address that other machines can reach, because the seed \
                `db.internal:3590` is on another machine; set `listen` (FLYRPC_LISTEN) or \
                `advertise` (FLYRPC_ADVERTISE)";
    check_invalid(&base(), &format!("listen is `127.0.0.1:0`: {rule}"));
    let config = Config { listen: Some(addr("0.0.0.0:1")), ..base() };
    check_invalid(&config, &format!("listen is `0.0.0.0:1`: {rule}"));
    let config = Config { listen: Some(addr("[::]:1")), ..base() };
    check_invalid(&config, &format!("listen is `[::]:1`: {rule}"));
    let listen = Some(addr("10.0.0.1:1"));
    let config = Config { listen, advertise: Some(addr("[::1]:1")), ..base() };
    check_invalid(&config, &format!("advertise is `[::1]:1`: {rule}"));
}

#[test]
fn a_node_that_remote_seeds_can_reach_starts() {
    let base = || Config { seeds: seeds("db.internal 10.0.0.2"), ..Config::default() };
    Config { listen: Some(addr("10.0.0.1:0")), ..base() }.check_all().unwrap();
    let advertise = Some(addr("10.0.0.1:0"));
    Config { listen: Some(addr("0.0.0.0:0")), advertise, ..base() }.check_all().unwrap();
}

#[test]
fn nodes_of_one_machine_listen_on_loopback() {
    let base = || Config { seeds: seeds("localhost:1 127.0.0.1:2 [::1]:3"), ..Config::default() };
    base().check_all().unwrap();
    let advertise = Some(addr("127.0.0.1:9"));
    for listen in ["127.0.0.2:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        Config { listen: Some(addr(listen)), advertise, ..base() }.check_all().unwrap();
    }
}

#[test]
fn a_node_that_listens_beyond_loopback_must_advertise_an_address_that_others_can_reach() {
    let rule = "expected an address that other machines can reach, because the node listens for \
                them; set `advertise` (FLYRPC_ADVERTISE), or `listen` (FLYRPC_LISTEN) to one \
                address";
    for seeds in [Vec::new(), seeds("localhost:1 127.0.0.1:2")] {
        let base = || Config { seeds: seeds.clone(), ..Config::default() };
        for listen in ["0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1"] {
            let config = Config { listen: Some(addr(listen)), ..base() };
            check_invalid(&config, &format!("listen is `{listen}`: {rule}"));
        }
        for listen in ["0.0.0.0:1", "10.0.0.1:1"] {
            let advertise = Some(addr("127.0.0.1:1"));
            let config = Config { listen: Some(addr(listen)), advertise, ..base() };
            check_invalid(&config, &format!("advertise is `127.0.0.1:1`: {rule}"));
        }
        Config { listen: Some(addr("10.0.0.1:1")), ..base() }.check_all().unwrap();
    }
}

#[test]
fn an_address_that_no_single_host_has_is_an_error_at_start() {
    let rule = "expected the address where other nodes reach this node, not a multicast or \
                broadcast address";
    let values = ["224.0.0.1:1", "[ff02::1]:1", "255.255.255.255:1", "[::ffff:224.0.0.1]:1"];
    for value in values {
        let config = Config { advertise: Some(addr(value)), ..Config::default() };
        check_invalid(&config, &format!("advertise is `{value}`: {rule}"));
        let config = Config { listen: Some(addr(value)), ..Config::default() };
        check_invalid(&config, &format!("listen is `{value}`: {rule}"));
        check_refused(
            &[("FLYRPC_ADVERTISE", value)],
            &format!("FLYRPC_ADVERTISE is `{value}`: {rule}"),
        );
    }
    check_refused(
        &[("FLYRPC_ADVERTISE", "224.0.0.1")],
        &format!("FLYRPC_ADVERTISE is `224.0.0.1`: {rule}"),
    );
}

#[test]
fn advertising_the_unspecified_address_is_an_error_at_start() {
    let config = Config { advertise: Some(addr("0.0.0.0:1")), ..Config::default() };
    let expected = "advertise is `0.0.0.0:1`: expected the address where other nodes reach this \
                    node, not the unspecified address";
    check_invalid(&config, expected);
}
