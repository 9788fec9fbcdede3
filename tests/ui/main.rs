//! The diagnostics for traits that cannot be services.
//!
//! One file per rule. Most messages are the macro's own, and the same with every compiler. Those in
//! `fail/rustc_messages` are rustc's: they are compared only if the compiler is the one that they were
//! recorded with. After a change of a message, or for another compiler, run
//! `TRYBUILD=overwrite cargo test -p flyrpc-tests --test ui`, and review the difference.
//!
//! There are no `pass` cases: with them, trybuild would build instead of check, and one case at a time
//! instead of all at once. Traits that must build are separate tests: `pass/*.rs`.

use std::process::Command;

/// The compiler whose messages are recorded in `fail/rustc_messages`.
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
            "skipped ui/fail/rustc_messages: recorded with {RECORDED_WITH}, not comparable to {version}"
        );
    }
}

fn rustc_version() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("a compiler can be run");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
