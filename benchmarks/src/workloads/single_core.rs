//! One call at a time, with both processes on one core, and with each on its own core. Without pinning,
//! some calls wake up another core and others do not, and a wake-up takes longer than the call itself.

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Pair, Plan},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload =
    Workload { name: "single-core", seconds: 60, run, comparisons };

/// The cores of the server and the client, with a name for figures.
const CORE_SETS: [(&str, [usize; 2]); 2] = [("one-core", [0, 0]), ("two-cores", [0, 1])];

fn run(bench: &mut Bench) -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    bench.interleave(&Name::ALL, |bench, contender| {
        for (core_set, on) in CORE_SETS {
            if on[1] >= cores {
                continue;
            }
            let plan = Plan { cores: on.map(|core| vec![core]), ..bench.plan(contender) };
            let measured = Pair::start(&plan)?.load(bench.load(Call::Upcase, 1))?;
            let mut add = |figure: &str, value| {
                bench.figures.add(format!("latency-{figure}-{core_set}-{contender}"), value, "us");
            };
            add("p50", measured.p50);
            add("p99", measured.p99);
        }
        Ok(())
    })
}

fn comparisons() -> Vec<Comparison> {
    let figures = CORE_SETS.map(|(core_set, _)| format!("latency-p50-{core_set}"));
    figures
        .iter()
        .flat_map(|figure| Comparison::with_flyrpc(figure, &["raw", "tarpc", "tonic"]))
        .collect()
}
