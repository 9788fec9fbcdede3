//! Machine-readable lines: `figure <name> <value> <unit>` and `ratio <name> <value>`.

use super::number::exact;
use crate::{
    figures::Figures,
    workloads::{Comparison, Workload},
};

/// Prints all figures after the first `known`, and the comparisons of a workload.
pub(crate) fn print(figures: &Figures, known: usize, workload: &Workload) {
    for (name, figure) in figures.since(known) {
        let values = [("", figure.median()), ("-min", figure.min()), ("-max", figure.max())];
        for (suffix, value) in values {
            println!("figure {name}{suffix} {} {}", exact(value), figure.unit);
        }
    }
    let beside =
        figures.since(known).filter_map(|(name, _)| Comparison::with_beside(name, figures));
    for comparison in (workload.comparisons)().into_iter().chain(beside) {
        let Some(ratio) = figures.ratio(&comparison.over, &comparison.under) else { continue };
        // Zero divided by zero, for example if neither allocates.
        if !ratio.median.is_finite() {
            continue;
        }
        for (suffix, value) in [("", ratio.median), ("-min", ratio.min), ("-max", ratio.max)] {
            println!("ratio {}{suffix} {value:.3}", comparison.name);
        }
    }
}
