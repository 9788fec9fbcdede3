//! What the macro says of traits that cannot be services, and code around it that must build.
//!
//! One file a rule. After a change of wording: `TRYBUILD=overwrite cargo test -p flyrpc-tests --test ui`,
//! and read the difference.

#[test]
fn diagnostics() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    cases.compile_fail("ui/fail/*/*.rs");
}
