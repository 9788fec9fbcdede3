//! Calls whose handlers sleep for a millisecond: measures how well many calls run concurrently.

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Pair},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload =
    Workload { name: "async-wait", seconds: 20, run, comparisons };

const CALLERS: usize = 256;

fn run(bench: &mut Bench) -> Result<()> {
    bench.interleave(&Name::WITH_HANDLERS, |bench, contender| {
        let load = bench.load(Call::Pause { micros: 1000 }, CALLERS);
        let measured = Pair::start(&bench.plan(contender))?.load(load)?;
        let mut add = |figure: &str, value, unit| {
            bench.figures.add(
                format!("async-wait-1ms-{figure}-{CALLERS}-callers-{contender}"),
                value,
                unit,
            );
        };
        add("throughput", measured.per_second, "calls/s");
        add("p50", measured.p50, "us");
        add("p99", measured.p99, "us");
        Ok(())
    })
}

fn comparisons() -> Vec<Comparison> {
    let figure = format!("async-wait-1ms-throughput-{CALLERS}-callers");
    Comparison::with_flyrpc(&figure, &["tarpc", "tonic"])
}
