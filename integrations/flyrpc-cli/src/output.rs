//! What the command prints.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use crate::exit::Failure;

/// Prints text on the standard output. If nothing reads it any more, it is lost, as with other commands in a pipe.
///
/// # Errors
///
/// The text could not be written for another reason, for example because the disk is full.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Prints a value as one line of JSON.
///
/// # Errors
///
/// As [`print`].
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&(to_json(value) + "\n"))
}

/// Returns why the standard output could not be written. That nothing reads it any more is not a failure.
pub(crate) fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Output(format!("the standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Returns a value as JSON that a terminal can show.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    escape(serde_json::to_string(value).expect("its keys are texts"))
}

/// Escapes the characters of JSON that a terminal would obey. serde_json escapes those below U+0020. The others can only
/// be parts of strings.
fn escape(json: String) -> String {
    if !json.contains(is_obeyed) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_obeyed(c) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Whether a terminal would obey a character instead of showing it: a control character, or one that changes the direction
/// of the text that follows.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Prints why a command failed on the standard error.
pub(crate) fn print_failure(failure: &Failure, is_json: bool) {
    let line = if is_json { to_json(&failure.to_json()) } else { format!("error: {failure}") };
    let _ = writeln!(io::stderr(), "{}", clean(&line));
}

/// Returns a text as a part of one line. Replaces the characters that a terminal would obey, because a peer may have sent
/// them.
pub(crate) fn clean(text: &str) -> String {
    let shown = |c| match c {
        '\n' => ' ',
        c if is_obeyed(c) => '?',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Adds a line to a text, after cleaning it.
pub(crate) fn add_line(text: &mut String, line: &str) {
    text.push_str(&clean(line));
    text.push('\n');
}

/// Formats rows as columns of equal width. The first row contains the names of the columns.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += cell;
            line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Formats a time in seconds with three digits.
pub(crate) fn time(seconds: f64) -> String {
    let (number, unit) = match seconds {
        seconds if seconds < 0.000_999_5 => (seconds * 1e6, "µs"),
        seconds if seconds < 0.999_5 => (seconds * 1e3, "ms"),
        seconds => (seconds, "s"),
    };
    match number {
        number if number < 9.995 => format!("{number:.2} {unit}"),
        number if number < 99.95 => format!("{number:.1} {unit}"),
        number => format!("{number:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_replaced() {
        let rows = [["ID", "REGION"], ["ü", "x\u{1b}[2J"], ["long", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "ID    REGION\nü     x?[2J\nlong\n");
    }

    #[test]
    fn text_of_a_peer_forges_no_line_and_changes_no_direction() {
        assert_eq!(clean("a\nb\r\u{9b}2J\u{202e}c\u{2066}é"), "a b??2J?c?é");
        let rows = [vec!["ID".to_owned()], vec!["x\nforged".to_owned()]];
        assert_eq!(table(&rows), "ID\nx forged\n");
    }

    #[test]
    fn json_contains_nothing_that_a_terminal_obeys() {
        let text = "\u{1b}\u{7f}\u{9b}2J\u{200f}\u{202e}\u{2069}é\n";
        let json = to_json(&text);
        assert_eq!(json, r#""\u001b\u007f\u009b2J\u200f\u202e\u2069é\n""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!(time(0.000_000_5), "0.50 µs");
        assert_eq!(time(0.000_123_4), "123 µs");
        assert_eq!(time(0.001_234), "1.23 ms");
        assert_eq!(time(0.2024), "202 ms");
        assert_eq!(time(0.999_6), "1.00 s");
        assert_eq!(time(12.34), "12.3 s");
    }
}
