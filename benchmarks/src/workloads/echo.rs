//! Echoes of larger bodies, and of lists of records, by a few callers.

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Pair},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload = Workload { name: "echo", seconds: 170, run, comparisons };

/// The name of a body in figures, its size in bytes, and the number of callers.
const BODIES: [(&str, usize, usize); 4] =
    [("1KiB", 1 << 10, 16), ("64KiB", 64 << 10, 4), ("1MiB", 1 << 20, 4), ("16MiB", 16 << 20, 2)];

/// Bodies of at least this many bytes are echoed for longer than the usual time.
const LARGE: usize = 16 << 20;

/// The number of records in a list, its name in figures, and the number of callers.
const RECORDS: (&str, usize, usize) = ("1000-records", 1000, 4);

fn run(bench: &mut Bench) -> Result<()> {
    bench.interleave(&Name::ALL, |bench, contender| {
        let mut pair = Pair::start(&bench.plan(contender))?;
        let echoes = BODIES.map(|(size, bytes, callers)| (size, Call::Echo { bytes }, callers));
        let (size, count, callers) = RECORDS;
        let records = (size, Call::EchoRecords { count }, callers);
        // Raw bodies are bytes.
        let records = (contender != Name::Raw).then_some(records);
        for (size, call, callers) in echoes.into_iter().chain(records) {
            let mut load = bench.load(call, callers);
            if matches!(call, Call::Echo { bytes } if bytes >= LARGE) {
                // With the slowest contender, on a loaded machine, a call takes about as long as the usual time,
                // and none might begin within it.
                load.time *= 4;
            }
            let measured = pair.load(load)?;
            let mut add = |figure: &str, value, unit| {
                bench.figures.add(format!("echo-{figure}-{size}-{contender}"), value, unit);
            };
            add("throughput", measured.per_second, "calls/s");
            add("p50", measured.p50, "us");
            add("p99", measured.p99, "us");
        }
        Ok(())
    })
}

fn comparisons() -> Vec<Comparison> {
    let compare = |size: &str, others: &[&str]| {
        Comparison::with_flyrpc(&format!("echo-throughput-{size}"), others)
    };
    let bodies = BODIES.iter().flat_map(|&(size, ..)| compare(size, &["raw", "tarpc", "tonic"]));
    bodies.chain(compare(RECORDS.0, &["tarpc", "tonic"])).collect()
}
