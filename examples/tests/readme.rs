//! The README shows `src/bin/strings.rs`, which is compiled, run and tested as an example.

const README: &str = include_str!("../../README.md");
const PROGRAM: &str = include_str!("../src/bin/strings.rs");

#[test]
fn the_readme_shows_the_example_program_and_its_test() {
    let shown: Vec<&str> = README
        .split("```rust\n")
        .skip(1)
        .map(|block| block.split("```").next().expect("split yields at least one part"))
        .collect();
    let (_crate_docs, program) = PROGRAM.split_once("\n\n").expect("the example has crate docs");
    assert_eq!(shown.join("\n"), program);
}
