//! Reports of the figures: lines for programs, tables and plots for readers.

pub(crate) mod lines;
mod number;
mod plots;
mod tables;
mod targets;

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::figures::{Figures, Ratio};

/// The lines before and after a table in a file.
const BEGIN: &str = "<!-- benchmarks: begin -->";
const END: &str = "<!-- benchmarks: end -->";

/// Returns the ratio of the comparison with this name, if both figures were measured.
fn ratio(figures: &Figures, name: &str) -> Option<Ratio> {
    let mut all = crate::workloads::ALL.iter().flat_map(|workload| (workload.comparisons)());
    let comparison = all.find(|comparison| comparison.name == name)?;
    figures.ratio(&comparison.over, &comparison.under)
}

/// Replaces the tables and plots.
pub(crate) fn write(figures: &Figures) -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = here.parent().context("the project's directory is missing")?.join("README.md");
    replace(&here.join("README.md"), &tables::long(figures))?;
    replace(&readme, &tables::short_ones(figures))?;
    for (name, plot) in [("throughput", plots::THROUGHPUT), ("latency", plots::LATENCY)] {
        if let Some(svg) = plots::svg(&plot, figures)? {
            let path = here.join(name).with_extension("svg");
            fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// Replaces the text between the markers of a file with `table`.
fn replace(path: &Path, table: &str) -> Result<()> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let new = between(&text, table)
        .with_context(|| format!("no {BEGIN} and {END} in {}", path.display()))?;
    fs::write(path, new).with_context(|| format!("cannot write {}", path.display()))
}

fn between(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", table.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_between_the_markers_changes() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = format!("before\n{BEGIN}\nnew\n{END}\nafter\n");
        assert_eq!(between(&text, "new\n\n"), Some(new));
        assert_eq!(between("no markers", "new"), None);
    }
}
