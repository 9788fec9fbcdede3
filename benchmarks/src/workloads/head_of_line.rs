//! Small calls, alone and while another caller echoes 16 MiB on the same connection.

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Load, Pair},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload =
    Workload { name: "head-of-line", seconds: 40, run, comparisons };

const LARGE: Call = Call::Echo { bytes: 16 << 20 };

fn run(bench: &mut Bench) -> Result<()> {
    bench.interleave(&Name::WITH_HANDLERS, |bench, contender| {
        let mut pair = Pair::start(&bench.plan(contender))?;
        let alone = pair.load(bench.load(Call::Upcase, 1))?;
        let small = bench.load(Call::Upcase, 1);
        // Twice the usual time, because an echo of this size takes long.
        let time = small.time * 2;
        let beside = pair.load(Load { beside: Some((LARGE, 1)), time, ..small })?;
        let mut add = |figure: &str, value| {
            bench.figures.add(format!("small-call-{figure}-{contender}"), value, "us");
        };
        add("p50-alone", alone.p50);
        add("p50-beside-16MiB", beside.p50);
        add("p99-beside-16MiB", beside.p99);
        Ok(())
    })
}

fn comparisons() -> Vec<Comparison> {
    let comparisons = Name::WITH_HANDLERS.map(|contender| Comparison {
        name: format!("small-call-p50-beside-16MiB-over-alone-{contender}"),
        over: format!("small-call-p50-beside-16MiB-{contender}"),
        under: format!("small-call-p50-alone-{contender}"),
    });
    comparisons.into()
}
