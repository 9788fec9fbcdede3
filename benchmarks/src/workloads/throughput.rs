//! `upcase("fly")` by 1 to 256 callers on one connection: calls per second, latency, and the CPU time of
//! both processes per call.

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Pair},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload =
    Workload { name: "throughput", seconds: 130, run, comparisons };

/// The numbers of callers.
pub(crate) const CALLERS: [usize; 4] = [1, 16, 64, 256];

const OTHERS: [&str; 4] = ["raw", "raw-batched", "tarpc", "tonic"];

fn run(bench: &mut Bench) -> Result<()> {
    bench.interleave(&Name::WITH_BATCHED, |bench, contender| {
        let mut pair = Pair::start(&bench.plan(contender))?;
        for callers in CALLERS {
            let before = pair.snapshots()?;
            let measured = pair.load(bench.load(Call::Upcase, callers))?;
            let after = pair.snapshots()?;
            let micros =
                |of: usize| (after[of] - before[of]).cpu.as_secs_f64() * 1e6 / measured.all as f64;
            let (server, client) = (micros(0), micros(1));

            let mut add = |figure: &str, value, unit| {
                bench.figures.add(
                    format!("{figure}-{callers}-callers-3B-{contender}"),
                    value,
                    unit,
                );
            };
            add("throughput", measured.per_second, "calls/s");
            add("latency-p50", measured.p50, "us");
            add("latency-p99", measured.p99, "us");
            add("cpu", server + client, "us/call");
            add("cpu-server", server, "us/call");
            add("cpu-client", client, "us/call");
        }
        Ok(())
    })
}

fn comparisons() -> Vec<Comparison> {
    let figures = ["throughput", "latency-p50", "latency-p99", "cpu"];
    let each = CALLERS
        .into_iter()
        .flat_map(|callers| figures.map(|figure| format!("{figure}-{callers}-callers-3B")));
    each.flat_map(|figure| Comparison::with_flyrpc(&figure, &OTHERS)).collect()
}
