//! What the command prints.

use std::io::{self, Write as _};

use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use crate::exit::Failure;

/// Prints text on the standard output. If nothing reads it any more, it is lost, as with other commands in a pipe.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Prints a value as one line of JSON.
pub(crate) fn print_json(value: &impl Serialize) {
    print(&(to_json(value) + "\n"));
}

/// Returns a value as JSON.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("its keys are texts")
}

/// Prints why a command failed on the standard error.
pub(crate) fn print_failure(failure: &Failure, is_json: bool) {
    let line = if is_json { to_json(&failure.to_json()) } else { format!("error: {failure}") };
    let _ = writeln!(io::stderr(), "{}", clean(&line));
}

/// Replaces control characters, which a peer may have sent, because a terminal would obey them.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
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
    fn times_have_three_digits() {
        assert_eq!(time(0.000_000_5), "0.50 µs");
        assert_eq!(time(0.000_123_4), "123 µs");
        assert_eq!(time(0.001_234), "1.23 ms");
        assert_eq!(time(0.2024), "202 ms");
        assert_eq!(time(0.999_6), "1.00 s");
        assert_eq!(time(12.34), "12.3 s");
    }
}
