//! The text format that Prometheus scrapes.

use std::collections::BTreeMap;

/// A series and its labels, which include `le` for the buckets of a histogram.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Series {
    /// Returns whether the label has this value, or the series does not have the label.
    pub(crate) fn has_or_lacks(&self, label: &str, value: &str) -> bool {
        self.labels.get(label).is_none_or(|is| is == value)
    }
}

/// Parses a scraped text. No label value of the test contains a quotation mark.
pub(crate) fn parse(text: &str) -> Vec<Series> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| parse_line(line).unwrap_or_else(|| panic!("cannot parse {line:?}"))).collect()
}

fn parse_line(line: &str) -> Option<Series> {
    let (series, value) = line.rsplit_once(' ')?;
    value.parse::<f64>().ok()?;
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}')?.split_terminator("\",").map(|label| {
        let (label, value) = label.split_once("=\"")?;
        Some((label.trim_start().to_owned(), value.trim_end_matches('"').to_owned()))
    });
    Some(Series { name: name.to_owned(), labels: labels.collect::<Option<_>>()? })
}
