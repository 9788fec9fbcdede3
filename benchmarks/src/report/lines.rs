//! Lines that programs read: `figure <name> <value> <unit>` and `ratio <name> <value>`.

use crate::{
    figures::{Figure, Figures},
    workloads,
};

/// Prints what came after the first `known` figures, and the comparisons of it.
pub(crate) fn print(figures: &Figures, known: usize) {
    let new: Vec<_> = figures.since(known).collect();
    for (name, figure) in &new {
        let Figure { unit, .. } = figure;
        for (suffix, value) in
            [("", figure.median()), ("-min", figure.min()), ("-max", figure.max())]
        {
            println!("figure {name}{suffix} {} {unit}", number(value));
        }
    }
    let compared = workloads::ALL.iter().flat_map(|workload| (workload.comparisons)());
    for comparison in compared {
        // Each once: when the later of both is known.
        if !new
            .iter()
            .any(|(name, _)| [&comparison.over, &comparison.under].contains(&&(*name).to_owned()))
        {
            continue;
        }
        let Some(ratio) = figures.ratio(&comparison.over, &comparison.under) else { continue };
        for (suffix, value) in [("", ratio.median), ("-min", ratio.min), ("-max", ratio.max)] {
            println!("ratio {}{suffix} {value:.3}", comparison.name);
        }
    }
}

/// Four digits that count, at least.
fn number(value: f64) -> String {
    let digits = 3 - (value.abs().max(1e-3).log10().floor() as i32);
    format!("{value:.*}", digits.clamp(0, 6) as usize)
}
