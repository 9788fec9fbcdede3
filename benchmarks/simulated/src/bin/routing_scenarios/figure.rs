//! The figures of a run, and the bounds that they must keep.

use std::fmt;

/// What a figure must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// For comparison only.
    None,
}

/// One figure of a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// The row of the acceptance table.
    pub(crate) row: &'static str,
    pub(crate) what: String,
    pub(crate) by: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) bound: Bound,
}

impl Figure {
    /// Whether the figure keeps its bound.
    pub(crate) fn is_kept(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.value <= most,
            Bound::AtLeast(least) => self.value >= least,
            Bound::None => true,
        }
    }
}

/// Formats the figure for programs: `figure R1-p999-flyrpc 105.3 ms`.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figure { row, what, by, value, unit, .. } = self;
        write!(f, "figure {row}-{what}-{by} {value:.3} {unit}")
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtMost(most) => write!(f, "at most {most}"),
            Bound::AtLeast(least) => write!(f, "at least {least}"),
            Bound::None => Ok(()),
        }
    }
}

/// Collects the figures of one scenario.
pub(crate) struct Figures {
    row: &'static str,
    by: &'static str,
    pub(crate) all: Vec<Figure>,
}

impl Figures {
    pub(crate) fn of(row: &'static str, by: &'static str) -> Self {
        Figures { row, by, all: Vec::new() }
    }

    pub(crate) fn add(
        &mut self,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        bound: Bound,
    ) {
        let (row, by, what) = (self.row, self.by, what.into());
        self.all.push(Figure { row, what, by, value, unit, bound });
    }
}

/// Formats the figures as a table in Markdown.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut table =
        String::from("| row | figure | policy | value | bound |\n|---|---|---|---:|---|\n");
    for figure in figures {
        let Figure { row, what, by, value, unit, bound } = figure;
        let what = what.replace('-', " ");
        let missed = if figure.is_kept() { "" } else { " **missed**" };
        table.push_str(&format!(
            "| {row} | {what} | {by} | {value:.3} {unit} | {bound}{missed} |\n"
        ));
    }
    table
}
