//! Lines that programs read: `figure <name> <value> <unit>` and `ratio <name> <value>`.

use super::number::exact;
use crate::{
    figures::Figures,
    workloads::{Comparison, Workload},
};

/// Prints what came after the first `known` figures, and a workload's comparisons of it.
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
        // Zero over zero, such as of allocations.
        if !ratio.median.is_finite() {
            continue;
        }
        for (suffix, value) in [("", ratio.median), ("-min", ratio.min), ("-max", ratio.max)] {
            println!("ratio {}{suffix} {value:.3}", comparison.name);
        }
    }
}
