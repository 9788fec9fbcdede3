//! Tests the diagnostics for traits that cannot be services.
//!
//! Each file tests one rule. Most messages come from the macro and are the same with every compiler. The
//! messages in `fail/rustc_messages` come from rustc, and are compared only if the test runs with the
//! compiler version that they were recorded with. After a message changes, or to record the messages of
//! another compiler, run `TRYBUILD=overwrite cargo test -p flyrpc-tests --test ui` and review the diff.
//!
//! There are no `pass` cases, because with them trybuild would build the cases one at a time instead of
//! checking all of them at once. Traits that must compile are separate tests: `pass/*.rs`.

use std::process::Command;

/// The version of the compiler whose messages are recorded in `fail/rustc_messages`.
const RECORDED_WITH: &str = "rustc 1.95.0 ";

#[test]
fn diagnostics() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/fail/*/*.rs");
    let version = rustc_version();
    if version.starts_with(RECORDED_WITH) || std::env::var_os("TRYBUILD").is_some() {
        cases.compile_fail("ui/fail/rustc_messages/*/*.rs");
    } else {
        eprintln!(
            "skipped ui/fail/rustc_messages: recorded with {}, but the compiler is {version}",
            RECORDED_WITH.trim_end()
        );
    }
}

fn rustc_version() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc can be run");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
