//! The guide shows the code of the modules. flyrpc's package cannot include files of other packages, so the
//! guide contains a copy, which this test compares.

use std::{env, fs};

const GUIDE: &str = include_str!("../../../flyrpc/src/docs/patterns.md");
const MODULES: [(&str, &str); 6] = [
    ("calling", include_str!("../../src/patterns/calling.rs")),
    ("cache", include_str!("../../src/patterns/cache.rs")),
    ("lease", include_str!("../../src/patterns/lease.rs")),
    ("idempotency", include_str!("../../src/patterns/idempotency.rs")),
    ("pagination", include_str!("../../src/patterns/pagination.rs")),
    ("http", include_str!("../../src/patterns/http.rs")),
];

/// `UPDATE_GUIDE=1` writes the code of the modules to the guide.
#[test]
fn the_guide_shows_the_code_of_the_modules() {
    let expected = updated(GUIDE);
    if env::var_os("UPDATE_GUIDE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../flyrpc/src/docs/patterns.md");
        fs::write(path, expected).expect("the guide is writable");
        return;
    }
    let line = GUIDE.lines().zip(expected.lines()).position(|(shown, code)| shown != code);
    let line = line.map_or_else(|| "at its end".to_owned(), |at| format!("in line {}", at + 1));
    assert!(GUIDE == expected, "the guide differs {line}; run this test with UPDATE_GUIDE=1");
}

/// Replaces the code blocks of the guide by the code of the modules, in their order.
fn updated(guide: &str) -> String {
    let mut parts = guide.split("```rust\n");
    let mut text = parts.next().expect("split yields at least one part").to_owned();
    let mut modules = MODULES.iter();
    for part in parts {
        let (name, module) = modules.next().expect("there is a module for each code block");
        let (_old, prose) = part.split_once("```\n").expect("a code block ends");
        let (_module_docs, code) = module.split_once("\n\n").expect("a module begins with docs");
        assert!(!code.contains("super::"), "{name} is complete, so that it can be copied");
        text += &format!("```rust\n{code}```\n{prose}");
    }
    assert_eq!(modules.next(), None, "there is a code block for each module");
    text
}
