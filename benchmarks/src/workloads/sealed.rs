//! What sealing costs: flyrpc with a secret beside flyrpc without one, and tonic with TLS.
//!
//! Latency is that of one caller at a time on one core, as for the workload `single-core`.

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Pair, Plan},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload = Workload { name: "sealed", seconds: 100, run, comparisons };

/// The name of a load in figures, its call, and the number of callers.
const LOADS: [(&str, Call, usize); 3] = [
    ("64-callers-3B", Call::Upcase, 64),
    ("64KiB", Call::Echo { bytes: 64 << 10 }, 4),
    ("1MiB", Call::Echo { bytes: 1 << 20 }, 4),
];

fn run(bench: &mut Bench) -> Result<()> {
    bench.interleave(&Name::SEALED, |bench, contender| {
        let mut pair = Pair::start(&bench.plan(contender))?;
        for (load, call, callers) in LOADS {
            let before = pair.snapshots()?;
            let measured = pair.load(bench.load(call, callers))?;
            let after = pair.snapshots()?;
            let cpu: f64 = [0, 1].map(|of| (after[of] - before[of]).cpu.as_secs_f64()).iter().sum();
            let mut add = |figure: &str, value, unit| {
                bench.figures.add(format!("sealed-{figure}-{load}-{contender}"), value, unit);
            };
            add("throughput", measured.per_second, "calls/s");
            add("cpu", cpu * 1e6 / measured.all as f64, "us/call");
        }
        drop(pair);
        let plan = Plan { cores: [vec![0], vec![0]], ..bench.plan(contender) };
        let measured = Pair::start(&plan)?.load(bench.load(Call::Upcase, 1))?;
        let name = format!("sealed-latency-p50-one-core-{contender}");
        bench.figures.add(name, measured.p50, "us");
        Ok(())
    })
}

fn comparisons() -> Vec<Comparison> {
    let loads = LOADS.iter().flat_map(|(load, ..)| {
        ["throughput", "cpu"].map(|figure| format!("sealed-{figure}-{load}"))
    });
    let latency = "sealed-latency-p50-one-core".to_owned();
    let figures = loads.chain([latency]);
    figures
        .flat_map(|figure| {
            ["flyrpc", "tonic-tls"].map(|other| Comparison {
                name: format!("{figure}-flyrpc-sealed-over-{other}"),
                over: format!("{figure}-flyrpc-sealed"),
                under: format!("{figure}-{other}"),
            })
        })
        .collect()
}
