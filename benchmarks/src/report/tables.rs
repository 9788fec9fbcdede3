//! Tables in Markdown.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    number::short,
    targets::{self, Limit},
};
use crate::{
    contenders::Name,
    figures::{Figure, Figures},
};

/// The rows of the table in the project's README: a title, and the name of the figure whose median is shown.
const SHORT: [(&str, &str); 4] = [
    ("calls per second, 256 callers", "throughput-256-callers-3B"),
    ("median latency of sequential calls, both processes on one core (µs)", "latency-p50-one-core"),
    ("median latency of a small call during an echo of 16 MiB (µs)", "small-call-p50-beside-16MiB"),
    ("echoes of 1 MiB per second", "echo-throughput-1MiB"),
];

/// The same for the table of sealed calls.
const SHORT_SEALED: [(&str, &str); 4] = [
    ("calls per second, 64 callers", "sealed-throughput-64-callers-3B"),
    (
        "median latency of sequential calls, both processes on one core (µs)",
        "sealed-latency-p50-one-core",
    ),
    ("echoes of 64 KiB per second", "sealed-throughput-64KiB"),
    ("echoes of 1 MiB per second", "sealed-throughput-1MiB"),
];

/// Formats the tables of this package's README.
pub(super) fn long(figures: &Figures) -> String {
    let mut text = String::from("### Targets\n\n");
    text += &of_targets(figures);
    text += "\n### Between processes\n\n";
    text += &of_contenders(figures, &Name::WITH_BATCHED, |what| !what.starts_with("sealed-"));
    text += "\n### With a secret\n\n";
    text += &of_contenders(figures, &Name::SEALED, |what| {
        figures.get(&format!("{what}-{}", Name::FlyrpcSealed)).is_some()
    });
    text += "\n### Other figures\n\n";
    text += &of_others(figures);
    text
}

/// Formats the tables of the project's README.
pub(super) fn short_ones(figures: &Figures) -> String {
    let mut text = short_one(figures, &SHORT, &Name::ALL);
    text += "\nWith a secret, beside tonic with rustls:\n\n";
    text += &short_one(figures, &SHORT_SEALED, &Name::SEALED);
    text
}

fn short_one(figures: &Figures, rows: &[(&str, &str)], contenders: &[Name]) -> String {
    let mut text = head("`upcase(\"fly\")`", contenders.iter().map(Name::to_string));
    for (what, name) in rows {
        let cells = contenders.iter().map(|contender| {
            let figure = figures.get(&format!("{name}-{contender}"));
            figure.map_or("–".to_owned(), |figure| short(figure.median()))
        });
        row(&mut text, what, cells);
    }
    text
}

/// Formats the targets, and whether they are met.
fn of_targets(figures: &Figures) -> String {
    let mut text = head("figure", ["median", "min to max", "target", "met"]);
    for target in targets::ALL {
        let (limit, sign) = match target.limit {
            Limit::AtLeast(limit) => (limit, "≥"),
            Limit::AtMost(limit) => (limit, "≤"),
        };
        let name = format!("`{}`", target.name);
        let Some(outcome) = target.outcome(figures) else {
            row(&mut text, &name, ["–", "–", &format!("{sign} {}", short(limit)), "not measured"]);
            continue;
        };
        let with_unit = |value| format!("{} {}", short(value), outcome.unit);
        let spread = format!("{} to {}", short(outcome.min), short(outcome.max));
        let met = if target.limit.is_met(outcome.median) { "yes" } else { "**no**" };
        let limit = format!("{sign} {}", short(limit));
        row(&mut text, &name, [&*with_unit(outcome.median), &spread, &limit, met]);
    }
    text
}

/// Formats the figures that are measured for each of these contenders, with a column for each. `is_shown` chooses them by
/// their names without the contender.
fn of_contenders(
    figures: &Figures,
    contenders: &[Name],
    is_shown: impl Fn(&str) -> bool,
) -> String {
    let names = contenders.iter().map(Name::to_string);
    let mut text = head("figure", std::iter::once("unit".to_owned()).chain(names));
    let mut rows: Vec<&str> = Vec::new();
    let mut cells: BTreeMap<(&str, Name), &Figure> = BTreeMap::new();
    for (name, figure) in figures.since(0) {
        let Some((what, contender)) = split(name, contenders) else { continue };
        if !is_shown(what) {
            continue;
        }
        if !rows.contains(&what) {
            rows.push(what);
        }
        cells.insert((what, contender), figure);
    }
    for what in rows {
        let figures: Vec<_> =
            contenders.iter().map(|contender| cells.get(&(what, *contender))).collect();
        let unit = figures.iter().flatten().next().map_or("", |figure| figure.unit);
        let cell =
            |figure: Option<&&Figure>| figure.map_or("–".to_owned(), |figure| spread(figure));
        let cells = figures.into_iter().map(cell);
        row(&mut text, &format!("`{what}`"), std::iter::once(unit.to_owned()).chain(cells));
    }
    text
}

/// Formats all other figures.
fn of_others(figures: &Figures) -> String {
    let mut text = head("figure", ["unit", "value"]);
    let contenders = [&Name::WITH_BATCHED[..], &Name::SEALED].concat();
    for (name, figure) in figures.since(0).filter(|(name, _)| split(name, &contenders).is_none()) {
        row(&mut text, &format!("`{name}`"), [figure.unit.to_owned(), spread(figure)]);
    }
    text
}

/// Splits a name of the form `figure-contender`, for one of these contenders.
fn split<'a>(name: &'a str, contenders: &[Name]) -> Option<(&'a str, Name)> {
    let of = |contender: Name| {
        let what = name.strip_suffix(&contender.to_string())?.strip_suffix('-')?;
        Some((what, contender))
    };
    contenders.iter().copied().find_map(of)
}

fn spread(figure: &Figure) -> String {
    let (median, min, max) = (figure.median(), figure.min(), figure.max());
    format!("{} ({}–{})", short(median), short(min), short(max))
}

fn head(first: &str, columns: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let columns: Vec<_> = columns.into_iter().collect();
    let mut text = String::new();
    row(&mut text, first, &columns);
    text += "|---|";
    text += &"---:|".repeat(columns.len());
    text.push('\n');
    text
}

fn row(text: &mut String, first: &str, cells: impl IntoIterator<Item = impl AsRef<str>>) {
    write!(text, "| {first} |").expect("writing to a string does not fail");
    for cell in cells {
        write!(text, " {} |", cell.as_ref()).expect("writing to a string does not fail");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_show_medians_their_spread_and_whether_targets_are_met() {
        let mut figures = Figures::default();
        for (wire, other) in [(30.0, 2.0), (32.0, 4.0), (31.0, 3.0)] {
            figures.add("wire-both-flyrpc", wire, "bytes/call");
            figures.add("local-direct", other, "ns/call");
            figures.add("wire-both-flyrpc-sealed", 2.0 * wire, "bytes/call");
            figures.add("sealed-cpu-tonic-tls", other, "us/call");
            figures.add("sealed-cpu-flyrpc-sealed", wire, "us/call");
        }
        let text = long(&figures);
        for line in [
            "| `wire-both` | bytes/call | 31.0 (30.0–32.0) | 62.0 (60.0–64.0) | – |",
            "| `sealed-cpu` | us/call | – | 31.0 (30.0–32.0) | 3.00 (2.00–4.00) |",
            "| `wire-both-flyrpc` | 31.0 bytes/call | 30.0 to 32.0 | ≤ 38.0 | yes |",
            "| `wire-both` | bytes/call | – | – | – | – | 31.0 (30.0–32.0) |",
            "| `local-direct` | ns/call | 3.00 (2.00–4.00) |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nin\n{text}");
        }
    }
}
