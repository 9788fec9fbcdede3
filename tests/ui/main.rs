//! What is said of traits that cannot be services.
//!
//! One file a rule. Most of the words are the macro's own, and the same with every compiler. Those
//! in `fail/worded_by_rustc` are not: they are compared only where the compiler is the one that
//! they were recorded with. After a change of wording, or for another compiler:
//! `TRYBUILD=overwrite cargo test -p flyrpc-tests --test ui`, and read the difference.
//!
//! There are no `pass` cases, with which trybuild would build where it now checks, and one case at a
//! time where it now does all at once. What must build are tests of their own: `pass/*.rs`.

use std::process::Command;

/// The compiler whose words are recorded in `fail/worded_by_rustc`.
const RECORDED_WITH: &str = "rustc 1.95.0 ";

#[test]
fn diagnostics() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/fail/*/*.rs");
    let version = rustc_version();
    if version.starts_with(RECORDED_WITH) || std::env::var_os("TRYBUILD").is_some() {
        cases.compile_fail("ui/fail/worded_by_rustc/*/*.rs");
    } else {
        eprintln!(
            "skipped: ui/fail/worded_by_rustc is in the words of {RECORDED_WITH}and not compared \
             with those of {version}"
        );
    }
}

fn rustc_version() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("a compiler can be run");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
