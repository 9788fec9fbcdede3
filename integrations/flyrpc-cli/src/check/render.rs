//! Shows the result of a check as text.

use std::env;

use super::stages::{Check, StageResult};
use crate::output::add_line;

/// The marks of stages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    passed: &'static str,
    failed: &'static str,
    unknown: &'static str,
}

impl Marks {
    pub(crate) const ASCII: Marks = Marks { passed: "ok  ", failed: "FAIL", unknown: "?   " };
    const UNICODE: Marks = Marks { passed: "✓", failed: "✗", unknown: "–" };

    /// The marks that the locale of the terminal has.
    pub(crate) fn of_locale() -> Self {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
        let locale = locale.unwrap_or_default().to_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") {
            Marks::UNICODE
        } else {
            Marks::ASCII
        }
    }
}

/// Returns a line for each stage and each note, and the diagnosis as the last line.
pub(crate) fn text(check: &Check, marks: Marks) -> String {
    let mut text = String::new();
    add_line(&mut text, &check.target);
    for stage in &check.stages {
        let mark = match stage.result {
            StageResult::Passed => marks.passed,
            StageResult::Failed => marks.failed,
            StageResult::Unknown => marks.unknown,
        };
        let line = format!("{mark} {:<10} {}", stage.name, stage.detail);
        add_line(&mut text, line.trim_end());
        if !stage.remedy.is_empty() {
            add_line(&mut text, &format!("    hint: {}", stage.remedy));
        }
    }
    for note in &check.notes {
        add_line(&mut text, &format!("note: {note}"));
    }
    add_line(&mut text, &check.diagnosis);
    if is_ascii(marks) { text.replace('µ', "u") } else { text }
}

fn is_ascii(marks: Marks) -> bool {
    marks.passed.is_ascii()
}
