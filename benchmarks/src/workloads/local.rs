//! Calls that stay in the process: direct calls of the method, calls through tarpc's `Serve` and a flyrpc
//! service as a tarpc `Stub`, and calls through a node to its own region.

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Child, Command, LocalPath},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload = Workload { name: "local", seconds: 15, run, comparisons };

/// The paths of a local call, with their names in figures.
pub(crate) const LOCAL_PATHS: [(&str, LocalPath); 4] = [
    ("direct", LocalPath::Direct),
    ("tarpc-stub", LocalPath::TarpcStub),
    ("flyrpc-stub", LocalPath::FlyrpcStub),
    ("short-circuit", LocalPath::ShortCircuit),
];

fn run(bench: &mut Bench) -> Result<()> {
    bench.interleave(&[Name::Flyrpc], |bench, contender| {
        let calls = bench.scaled(1_000_000);
        let mut child = Child::start(&bench.plan(contender))?;
        let mut direct = None;
        for (name, way) in LOCAL_PATHS {
            child.time(&Command::Local { way, calls: calls / 10 })?;
            let took =
                child.time(&Command::Local { way, calls })?.as_secs_f64() * 1e9 / calls as f64;
            let suffix = contender.suffix();
            bench.figures.add(format!("local-{name}{suffix}"), took, "ns/call");
            let direct = *direct.get_or_insert(took);
            if name != "direct" {
                bench.figures.add(
                    format!("local-{name}-more-than-direct{suffix}"),
                    took - direct,
                    "ns/call",
                );
            }
        }
        Ok(())
    })
}

fn comparisons() -> Vec<Comparison> {
    let over_direct = |name: &str| Comparison {
        name: format!("local-{name}-over-direct"),
        over: format!("local-{name}"),
        under: "local-direct".to_owned(),
    };
    LOCAL_PATHS[1..].iter().map(|(name, _)| over_direct(name)).collect()
}
