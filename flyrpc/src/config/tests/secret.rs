//! The secret, and nodes that have none.

use std::ffi::OsString;

use super::{Config, addr, check_values_refused, on_fly, read};
use crate::config::{keyring::Keyring, settings::Sealing};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn secret_of(vars: &[(&str, &str)]) -> Result<Option<Keyring>, String> {
    read(vars).map(|config| config.secret).map_err(|error| error.to_string())
}

#[test]
fn the_secret_comes_from_a_variable_or_a_file() {
    let keyring = Some(Keyring::parse(KEY).unwrap());
    assert_eq!(secret_of(&[("FLYRPC_SECRET", KEY)]), Ok(keyring.clone()));
    let file = std::env::temp_dir().join(format!("flyrpc-secret-{}", std::process::id()));
    std::fs::write(&file, format!("  {KEY}\n")).unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(secret_of(&[("FLYRPC_SECRET_FILE", path)]), Ok(keyring));
    assert_eq!(
        secret_of(&[("FLYRPC_SECRET", KEY), ("FLYRPC_SECRET_FILE", path)]),
        Err("FLYRPC_SECRET cannot be used: FLYRPC_SECRET_FILE is also set; set only one of them"
            .to_owned())
    );
    std::fs::write(&file, "\n").unwrap();
    let empty = secret_of(&[("FLYRPC_SECRET_FILE", path)]).unwrap_err();
    assert!(empty.starts_with("FLYRPC_SECRET_FILE cannot be used: the value is not a key: "));
    std::fs::remove_file(&file).unwrap();
    for value in [path, KEY, &KEY[2..], &format!("/{KEY}"), &format!("{KEY},typo")] {
        let error = secret_of(&[("FLYRPC_SECRET_FILE", value)]).unwrap_err();
        let expected = "FLYRPC_SECRET_FILE cannot be used: cannot read the file: ";
        assert!(error.starts_with(expected) && !error.contains(&value[2..]), "{error}");
    }
    for unset in [&[][..], &[("FLYRPC_SECRET", "")], &[("FLYRPC_SECRET", " ")]] {
        assert_eq!(secret_of(unset), Ok(None));
    }
}

#[test]
fn an_invalid_secret_is_an_error_that_does_not_contain_it() {
    for secret in ["hunter2", &KEY[1..], &format!("{KEY},hunter2")] {
        let error = secret_of(&[("FLYRPC_SECRET", secret)]).unwrap_err();
        assert!(error.starts_with("FLYRPC_SECRET cannot be used: "), "{error}");
        assert!(error.contains("openssl rand -base64 32"), "{error}");
        assert!(!error.contains("hunter2") && !error.contains(&KEY[1..]), "{error}");
    }
    #[cfg(unix)]
    {
        let not_text = std::os::unix::ffi::OsStringExt::from_vec(b"hunter2\xff".to_vec());
        let lookup = |name: &str| (name == "FLYRPC_SECRET").then(|| OsString::clone(&not_text));
        let error = Config::from_vars(lookup).unwrap_err().to_string();
        assert_eq!(error, "FLYRPC_SECRET cannot be used: it is not text in UTF-8");
    }
}

#[test]
fn insecure_is_a_switch() {
    for (value, expected) in [("1", true), ("true", true), ("0", false), ("false", false)] {
        assert_eq!(read(&[("FLYRPC_INSECURE", value)]).unwrap().insecure, expected);
    }
    check_values_refused("FLYRPC_INSECURE", &["yes", "2"], "`1` or `true`, or `0` or `false`");
}

#[test]
fn a_node_needs_a_secret_beyond_loopback_unless_it_is_insecure() {
    let check = |config: &Config, addr: &str| {
        config.check_secret(addr.parse().unwrap()).map_err(|error| error.to_string())
    };
    let bare = Config::default();
    for addr in ["127.0.0.1:0", "127.3.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
        assert_eq!(check(&bare, addr), Ok(()), "{addr}");
    }
    let beyond = ["10.0.0.1:3590", "[fdaa::3]:3590", "0.0.0.0:3590", "[::]:3590"];
    let secret = Config { secret: Some(Keyring::parse(KEY).unwrap()), ..Config::default() };
    let insecure = Config { insecure: true, ..Config::default() };
    for addr in beyond {
        assert_eq!(check(&secret, addr), Ok(()), "{addr}");
        assert_eq!(check(&insecure, addr), Ok(()), "{addr}");
        let error = check(&bare, addr).unwrap_err();
        let expected = format!(
            "this node would be reached at {addr} by whatever is on that network. Set FLYRPC_SECRET, \
             the same on every node: `export FLYRPC_SECRET=$(openssl rand -base64 32)`. If all that \
             can reach it may call it, set FLYRPC_INSECURE=1"
        );
        assert_eq!(error, expected);
        let on_fly = check(&on_fly(), addr).unwrap_err();
        let command = "`fly secrets set FLYRPC_SECRET=$(openssl rand -base64 32)`";
        assert!(on_fly.contains(command), "{on_fly}");
    }
    for (advertise, expected) in
        [("10.0.0.1:7", "at 10.0.0.1:7 by"), ("10.0.0.1:0", "at 10.0.0.1:8 by")]
    {
        let advertised = Config { advertise: Some(addr(advertise)), ..Config::default() };
        let error = check(&advertised, "0.0.0.0:8").unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_secret_seals_and_an_insecure_node_also_accepts_open_peers() {
    let sealing = |secret: bool, insecure| {
        let secret = secret.then(|| Keyring::parse(KEY).unwrap());
        Config { secret, insecure, ..Config::default() }.sealing()
    };
    assert!(matches!(sealing(false, false), Sealing::Open));
    assert!(matches!(sealing(false, true), Sealing::Open));
    assert!(matches!(sealing(true, false), Sealing::Sealed(_)));
    assert!(matches!(sealing(true, true), Sealing::Permissive(_)));
}
