//! Picking a node from routing tables of 10 to 10,000 nodes, with and without concurrent changes.
//! Building and changing such tables.

use anyhow::Result;

use super::Workload;
use crate::{
    bench::Bench,
    child::{Child, Command, TableOp},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload =
    Workload { name: "routing", seconds: 15, run, comparisons: Vec::new };

const NODES: [u16; 3] = [10, 1_000, 10_000];

fn run(bench: &mut Bench) -> Result<()> {
    bench.interleave(&[Name::Flyrpc], |bench, contender| {
        let mut child = Child::start(&bench.plan(contender))?;
        for nodes in NODES {
            let mut add = |figure: &str, unit, nanos_a_unit, op, times: u64| -> Result<()> {
                let times = bench.scaled(times);
                let took = child.time(&Command::Routing { op, nodes, times })?;
                let each = took.as_secs_f64() * 1e9 / nanos_a_unit / times as f64;
                let figure = figure.replace("N", &nodes.to_string()) + contender.suffix();
                bench.figures.add(figure, each, unit);
                Ok(())
            };
            add("pick-N-nodes", "ns", 1.0, TableOp::Pick, 5_000_000)?;
            add("pick-nearest-N-nodes", "ns", 1.0, TableOp::PickNearest, 5_000_000)?;
            add("pick-N-nodes-churning", "ns", 1.0, TableOp::PickDuringChanges, 5_000_000)?;
            add("table-build-N-nodes", "us", 1e3, TableOp::Build, 100_000 / u64::from(nodes))?;
            add("table-change-N-nodes", "us", 1e3, TableOp::Change, 10_000)?;
        }
        Ok(())
    })
}
