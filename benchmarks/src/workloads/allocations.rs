//! Allocations per call: in the server and the client, and of calls that stay in the process. Allocations per pick
//! of a node. Measured in a program with a counting allocator.

use anyhow::Result;

use super::{Comparison, Workload, local::LOCAL_PATHS};
use crate::{
    bench::Bench,
    child::{Call, Child, Command, Pair, Plan, TableOp},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload =
    Workload { name: "allocations", seconds: 25, run, comparisons };

/// Enough callers that calls wait for each other, as in production.
const CALLERS: usize = 16;

/// The size of the routing table from which nodes are picked.
const NODES: u16 = 10_000;

fn run(bench: &mut Bench) -> Result<()> {
    let counting = bench.companion("flyrpc-benchmarks", "counting")?;
    bench.interleave(&Name::ALL, |bench, contender| {
        let Some(program) = counting.of(contender) else { return Ok(()) };
        let calls = bench.scaled(100_000);
        let mut pair = Pair::start(&Plan::new(contender, program.to_owned()))?;
        pair.count(Call::Upcase, CALLERS, calls / 10)?;
        let before = pair.snapshots()?;
        pair.count(Call::Upcase, CALLERS, calls)?;
        let after = pair.snapshots()?;
        let per_call = |of: usize| (after[of] - before[of]).allocations as f64 / calls as f64;
        for (side, count) in [("server", per_call(0)), ("client", per_call(1))] {
            bench.figures.add(format!("allocations-{side}-{contender}"), count, "allocations/call");
        }
        Ok(())
    })?;
    bench.interleave(&[Name::Flyrpc], |bench, contender| {
        let Some(program) = counting.of(contender) else { return Ok(()) };
        let calls = bench.scaled(100_000);
        let mut child = Child::start(&Plan::new(contender, program.to_owned()))?;
        let suffix = contender.suffix();
        let mut allocations = |command: &Command| {
            let before = child.snapshot()?;
            child.time(command)?;
            anyhow::Ok((child.snapshot()? - before).allocations as f64)
        };
        let mut picks =
            |times| allocations(&Command::Routing { op: TableOp::Pick, nodes: NODES, times });
        // The table is subtracted.
        let count = (picks(calls + 1)? - picks(1)?) / calls as f64;
        let figure = format!("allocations-pick-{NODES}-nodes{suffix}");
        bench.figures.add(figure, count, "allocations/pick");
        let mut direct = None;
        for (name, way) in LOCAL_PATHS {
            let mut count = |calls| allocations(&Command::Local { way, calls });
            // The first calls of a process allocate more than later ones, so they are discarded. Each
            // start of a node allocates, too: `start` is subtracted.
            count(1)?;
            let start = count(1)?;
            let count = (count(calls + 1)? - start) / calls as f64;
            let figure = format!("allocations-local-{name}{suffix}");
            bench.figures.add(figure, count, "allocations/call");
            let direct = *direct.get_or_insert(count);
            if name != "direct" {
                let figure = format!("allocations-local-{name}-more-than-direct{suffix}");
                bench.figures.add(figure, count - direct, "allocations/call");
            }
        }
        Ok(())
    })
}

fn comparisons() -> Vec<Comparison> {
    let figures = ["allocations-server", "allocations-client"];
    figures.iter().flat_map(|figure| Comparison::with_flyrpc(figure, &["tarpc", "tonic"])).collect()
}
