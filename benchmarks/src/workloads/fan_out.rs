//! One caller that calls all nodes of a region concurrently: 1, 10 and 100 nodes, in one process.

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Pair, Plan},
    contenders::{Name, Setup},
};

pub(crate) const WORKLOAD: Workload =
    Workload { name: "fan-out", seconds: 60, run, comparisons: Vec::<Comparison>::new };

const NODES: [usize; 3] = [1, 10, 100];

fn run(bench: &mut Bench) -> Result<()> {
    bench.interleave(&[Name::Flyrpc], |bench, contender| {
        for nodes in NODES {
            let setup = Setup { more: nodes - 1, ..Setup::default() };
            let mut pair = Pair::start(&Plan { setup, ..bench.plan(contender) })?;
            // The first fan-out waits until all links are open.
            pair.count(Call::FanOut { nodes }, 1, 1)?;
            let measured = pair.load(bench.load(Call::FanOut { nodes }, 1))?;
            let mut add = |figure: &str, value, unit| {
                bench.figures.add(
                    format!("fan-out-{figure}-{nodes}-nodes-{contender}"),
                    value,
                    unit,
                );
            };
            add("calls", measured.per_second * nodes as f64, "calls/s");
            add("p50", measured.p50, "us");
            add("p99", measured.p99, "us");
        }
        Ok(())
    })
}
