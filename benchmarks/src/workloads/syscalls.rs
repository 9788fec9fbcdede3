//! System calls per call, counted by strace if it is installed. strace slows both processes down, so calls
//! are batched differently than without it.

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Pair, Plan},
    contenders::Name,
    tool::{Scratch, Tool},
};

pub(crate) const WORKLOAD: Workload = Workload { name: "syscalls", seconds: 60, run, comparisons };

const CALLERS: [usize; 2] = [1, 64];

fn run(bench: &mut Bench) -> Result<()> {
    if !Tool::Strace.is_installed() {
        bench.note("skipped: system calls are not counted, because strace is not on PATH");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    bench.interleave(&Name::ALL, |bench, contender| {
        let calls = bench.scaled(3_200);
        let tool = Some((Tool::Strace, scratch.outputs()));
        let plan = Plan { tool, ..bench.plan(contender) };
        for callers in CALLERS {
            let with = Pair::counts(&plan, Call::Upcase, callers, 64 + calls)?;
            let without = Pair::counts(&plan, Call::Upcase, callers, 64)?;
            for (side, of) in [("server", 0), ("client", 1)] {
                let per_thousand = (with[of] - without[of]) * 1e3 / calls as f64;
                let name = format!("syscalls-{callers}-callers-{side}-{contender}");
                bench.figures.add(name, per_thousand, "syscalls/1000-calls");
            }
        }
        Ok(())
    })
}

fn comparisons() -> Vec<Comparison> {
    let sides = ["server", "client"];
    let figures = CALLERS
        .iter()
        .flat_map(|callers| sides.map(|side| format!("syscalls-{callers}-callers-{side}")));
    figures
        .flat_map(|figure| Comparison::with_flyrpc(&figure, &["raw", "tarpc", "tonic"]))
        .collect()
}
