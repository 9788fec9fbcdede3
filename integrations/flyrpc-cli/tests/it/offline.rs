//! The commands that connect to nothing, and `compat` of what `describe` wrote.

use std::{fs, path::Path};

use crate::support::{CLOSED, Flyrpc, SECRET, keyring, node, start};

#[tokio::test]
async fn secret_prints_a_key_and_the_keyring_of_a_rotation() {
    let flyrpc = Flyrpc::default();
    let first = flyrpc.run(["secret"]).await.out;
    let second = flyrpc.run(["secret"]).await.out;
    assert_eq!(first.trim().len(), 64);
    assert_ne!(first, second);
    assert_eq!(keyring(first.trim()).ids().count(), 1);
    for next in [flyrpc.clone().secret(SECRET), flyrpc.clone().stdin(format!("{SECRET}\n"))] {
        let ran = next.run(["secret", "next"]).await;
        let ids: Vec<_> = keyring(ran.out.trim()).ids().collect();
        assert_eq!((ids.len(), ids[1]), (2, keyring(SECRET).ids().next().unwrap()), "{ran:?}");
        assert!(ran.err.contains(&ids[0].to_string()), "{ran:?}");
    }
    let two = format!("{},{SECRET}", first.trim());
    let ran = flyrpc.clone().secret(&two).run(["secret", "next"]).await;
    assert!(ran.code == 2 && ran.err.contains("in progress"), "{ran:?}");
    let ran = flyrpc.clone().stdin("hunter2").run(["secret", "next"]).await;
    assert!(ran.code == 2 && !ran.err.contains("hunter2"), "{ran:?}");
}

#[tokio::test]
async fn wrong_arguments_are_json_if_that_is_asked_for() {
    let flyrpc = Flyrpc::default();
    let wrong = [
        (["--json", "nodes", "--nope"], "--nope"),
        (["nodes", "--json", "--cluster="], "--cluster"),
        (["top", "--json", "--ascii"], "--ascii"),
        (["top", "--json", "--addr=127.0.0.1:1"], "needs `--once`"),
        (["nodes", "--json", "--addr=nonsense:port"], "--addr cannot be used"),
    ];
    for (args, why) in wrong {
        let ran = flyrpc.run(args).await;
        let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
        let (kind, message) = (&error["error"]["kind"], &error["error"]["message"]);
        assert_eq!((ran.code, kind.as_str()), (2, Some("USAGE")), "{ran:?}");
        assert!(message.as_str().unwrap().contains(why), "{ran:?}");
    }
    let ran = flyrpc.run(["nodes", "--nope"]).await;
    assert!(ran.code == 2 && ran.err.contains("Usage: flyrpc nodes"), "{ran:?}");
}

#[tokio::test]
async fn an_empty_variable_is_unset_and_a_malformed_address_is_a_usage_error() {
    let ran = Flyrpc::at("nonsense:port").run(["nodes"]).await;
    assert!(ran.code == 2 && ran.err.contains("FLYRPC_ADDR cannot be used"), "{ran:?}");
    let ran = Flyrpc::at(format!(" {CLOSED}\n")).run(["nodes"]).await;
    assert!(ran.code == 65 && ran.err.contains(&format!("connect to {CLOSED}:")), "{ran:?}");
    // Of another cluster than a node that may listen at the default address.
    let ran = Flyrpc::at(" ").run(["nodes", "--cluster=of-a-test", "--timeout=1s"]).await;
    assert!(ran.code == 65 && ran.err.contains("connect to 127.0.0.1:3590:"), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn output_that_cannot_be_written_is_a_failure_unless_nothing_reads_it() {
    let run = |args: &str, redirect: &str| {
        let command = format!("{} {args} {redirect}", env!("CARGO_BIN_EXE_flyrpc"));
        let mut shell = std::process::Command::new("bash");
        shell.args(["-c", &format!("set -o pipefail; {command}")]).output().unwrap()
    };
    for args in ["secret", "secret --json", "completions bash", "--help", "--version"] {
        let ran = run(args, "> /dev/full");
        let err = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(4), "{args}: {err}");
        assert!(err.contains("standard output cannot be written"), "{args}: {err}");
        let ran = run(args, "| true");
        assert_eq!((ran.status.code(), ran.stderr.len()), (Some(0), 0), "{args}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn input_without_an_end_is_refused() {
    use std::{fs::File, process::Command};
    for args in [&["call", "iad", "S.m", "-"][..], &["secret", "next"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flyrpc"));
        let ran = command.args(args).stdin(File::open("/dev/zero").unwrap()).output().unwrap();
        let err = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{err}");
        assert!(err.contains("the standard input cannot be read: it has more than"), "{err}");
    }
    let ran = Flyrpc::default().run(["nodes", "--secret-file", "/dev/zero"]).await;
    assert!(ran.code == 2 && ran.err.contains("more than 1 MiB"), "{ran:?}");
}

#[tokio::test]
async fn an_invalid_secret_is_not_shown() {
    let ran = Flyrpc::default().secret("hunter2").run(["nodes"]).await;
    assert!(ran.code == 2 && ran.err.contains("FLYRPC_SECRET"), "{ran:?}");
    assert!(!ran.err.contains("hunter2"), "{ran:?}");
    let ran = Flyrpc::default().run(["nodes", "--secret-file", "/missing"]).await;
    assert!(ran.code == 2 && ran.err.contains("--secret-file"), "{ran:?}");
}

#[tokio::test]
async fn the_help_lists_the_exit_codes_and_completions_are_scripts() {
    let help = Flyrpc::default().run(["--help"]).await.out;
    assert!(help.contains("65  NO_NODE"), "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let ran = Flyrpc::default().run(["completions", shell]).await;
        assert!(ran.code == 0 && ran.out.contains("flyrpc"));
    }
    assert_eq!(Flyrpc::default().run(["no-such-command"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn compat_reads_what_describe_wrote() {
    let (iad, []) = start(node("iad-0"), []).await;
    let described = Flyrpc::at(iad.addr()).run(["describe", "--json"]).await.out;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("compat-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let (old, new) = (dir.join("old.json"), dir.join("new.json"));
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    fs::write(old, &described).unwrap();
    fs::write(new, &described).unwrap();
    let flyrpc = Flyrpc::default();
    let ran = flyrpc.run(["compat", old, new]).await;
    assert_eq!((&*ran.out, ran.code), ("compatible\n", 0), "{ran:?}");
    fs::write(new, described.replace("\"upcase\"", "\"shout\"")).unwrap();
    let ran = flyrpc.run(["compat", old, new]).await;
    let expected = "\
breaks: Strings.upcase: the method was removed
note: Strings.shout: the method is new: calls to it are unsupported until nodes with it run
incompatible
";
    assert_eq!((&*ran.out, ran.code), (expected, 1), "{ran:?}");
    let ran = flyrpc.run(["compat", old, new, "--json"]).await;
    assert_eq!((ran.json()["compatible"].as_bool(), ran.code), (Some(false), 1));
    assert_eq!(flyrpc.run(["compat", old, "/missing"]).await.code, 2);
    fs::remove_dir_all(&dir).unwrap();
}
