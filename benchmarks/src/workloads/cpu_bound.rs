//! Cheap calls, while another caller on the same connection calls a handler that computes for a
//! millisecond. Measures whether one handler blocks the others.
//!
//! Also handlers that compute for 80 µs; with flyrpc, in tasks that it chooses and in a task each. Measures
//! whether handlers on one connection use all cores.

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Load, Pair, Plan},
    contenders::{Name, Setup},
};

pub(crate) const WORKLOAD: Workload = Workload { name: "cpu-bound", seconds: 20, run, comparisons };

/// Number of callers that make cheap calls.
const CALLERS: usize = 4;

/// Number of callers of handlers that compute for 80 µs.
const BURNING_CALLERS: usize = 16;

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
    })?;
    bench.interleave(&Name::WITH_HANDLERS, |bench, contender| {
        burn(bench, contender, "", false)?;
        if contender == Name::Flyrpc { burn(bench, contender, "-task", true) } else { Ok(()) }
    })
}

/// Measures handlers that compute for 80 µs.
fn burn(bench: &mut Bench, contender: Name, mode: &str, never_inline: bool) -> Result<()> {
    let setup = Setup { never_inline, ..Setup::default() };
    let plan = Plan { setup, ..bench.plan(contender) };
    let load = bench.load(Call::Burn { micros: 80 }, BURNING_CALLERS);
    let measured = Pair::start(&plan)?.load(load)?;
    let name = format!("cpu-bound-80us-throughput{mode}-{contender}");
    bench.figures.add(name, measured.per_second, "calls/s");
    Ok(())
}

fn comparisons() -> Vec<Comparison> {
    let figures = ["beside-cpu-bound-p50", "beside-cpu-bound-p99", "cpu-bound-80us-throughput"];
    let others =
        figures.iter().flat_map(|figure| Comparison::with_flyrpc(figure, &["tarpc", "tonic"]));
    let burning = Comparison {
        name: "cpu-bound-80us-throughput-chosen-over-task-flyrpc".to_owned(),
        over: "cpu-bound-80us-throughput-flyrpc".to_owned(),
        under: "cpu-bound-80us-throughput-task-flyrpc".to_owned(),
    };
    others.chain([burning]).collect()
}
