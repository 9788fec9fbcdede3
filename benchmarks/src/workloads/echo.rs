//! Echoes of larger bodies by a few callers.

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Pair},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload = Workload { name: "echo", seconds: 85, run, comparisons };

/// The name of a body in figures, its size in bytes, and the number of callers.
const BODIES: [(&str, usize, usize); 3] =
    [("1KiB", 1 << 10, 16), ("64KiB", 64 << 10, 4), ("1MiB", 1 << 20, 4)];

fn run(bench: &mut Bench) -> Result<()> {
    bench.interleave(&Name::ALL, |bench, contender| {
        let mut pair = Pair::start(&bench.plan(contender))?;
        for (size, bytes, callers) in BODIES {
            let measured = pair.load(bench.load(Call::Echo { bytes }, callers))?;
            let mut add = |figure: &str, value, unit| {
                bench.figures.add(format!("echo-{figure}-{size}-{contender}"), value, unit);
            };
            add("throughput", measured.per_second, "calls/s");
            add("p50", measured.p50, "us");
            add("p99", measured.p99, "us");
        }
        Ok(())
    })
}

fn comparisons() -> Vec<Comparison> {
    let figures = BODIES.map(|(size, ..)| format!("echo-throughput-{size}"));
    figures
        .iter()
        .flat_map(|figure| Comparison::with_flyrpc(figure, &["raw", "tarpc", "tonic"]))
        .collect()
}
