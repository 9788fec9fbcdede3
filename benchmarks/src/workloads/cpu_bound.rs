//! Cheap calls, while another caller on the same connection calls a handler that computes for a
//! millisecond. Measures whether one handler blocks the others.

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Load, Pair},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload = Workload { name: "cpu-bound", seconds: 20, run, comparisons };

/// Number of callers that make cheap calls.
const CALLERS: usize = 4;

fn run(bench: &mut Bench) -> Result<()> {
    bench.interleave(&Name::WITH_HANDLERS, |bench, contender| {
        let cheap = bench.load(Call::Upcase, CALLERS);
        let load = Load { beside: Some((Call::Burn { micros: 1000 }, 1)), ..cheap };
        let measured = Pair::start(&bench.plan(contender))?.load(load)?;
        let mut add = |figure: &str, value, unit| {
            bench.figures.add(format!("beside-cpu-bound-{figure}-{contender}"), value, unit);
        };
        add("throughput", measured.per_second, "calls/s");
        add("p50", measured.p50, "us");
        add("p99", measured.p99, "us");
        Ok(())
    })
}

fn comparisons() -> Vec<Comparison> {
    let figures = ["beside-cpu-bound-p50", "beside-cpu-bound-p99"];
    figures.iter().flat_map(|figure| Comparison::with_flyrpc(figure, &["tarpc", "tonic"])).collect()
}
