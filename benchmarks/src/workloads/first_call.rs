//! The first call of a process that has just started: connecting, and one call. For flyrpc, connecting
//! means starting a node. The call then waits until the node has found another.

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Pair, Plan},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload = Workload { name: "first-call", seconds: 3, run, comparisons };

fn run(bench: &mut Bench) -> Result<()> {
    bench.interleave(&Name::ALL, |bench, contender| {
        let plan = Plan { lazily: true, ..bench.plan(contender) };
        let mut pair = Pair::start(&plan)?;
        let call = pair.count(Call::Upcase, 1, 1)?;
        let mut add = |figure: &str, value: std::time::Duration| {
            let micros = value.as_secs_f64() * 1e6;
            bench.figures.add(format!("first-call-{figure}-{contender}"), micros, "us");
        };
        add("connecting", pair.connecting);
        add("call", call);
        add("both", pair.connecting + call);
        Ok(())
    })
}

fn comparisons() -> Vec<Comparison> {
    Comparison::with_flyrpc("first-call-both", &["raw", "tarpc", "tonic"])
}
