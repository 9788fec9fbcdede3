//! Resident memory of both processes: what a connection takes on which nothing happens, and what a call
//! takes that waits for its reply.

use std::{thread, time::Duration};

use anyhow::Result;

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Child, Command, Pair},
    contenders::{Name, Setup},
};

pub(crate) const WORKLOAD: Workload = Workload { name: "memory", seconds: 75, run, comparisons };

/// How many calls wait, and how many connections there are.
const MANY: usize = 10_000;

/// In a mesh of so many nodes there are about as many links.
const NODES: usize = 142;

/// Until all that was begun has arrived.
const SETTLING: Duration = Duration::from_millis(1500);

/// Until a mesh is idle: buffers are given back, and what changed was gossiped.
const MESH_SETTLING: Duration = Duration::from_secs(3);

/// Longer than any run.
const FOR_EVER: Call = Call::Pause { micros: u32::MAX };

fn run(bench: &mut Bench) -> Result<()> {
    bench.interleave(&Name::ALL, |bench, contender| {
        if contender != Name::Raw {
            let calls = waiting_calls(contender)?;
            bench.figures.add(format!("memory-waiting-call-{contender}"), calls, "bytes/call");
        }
        let link =
            if contender == Name::Flyrpc { mesh(bench)? } else { connections(bench, contender)? };
        bench.figures.add(format!("memory-idle-link-{contender}"), link, "bytes/link");
        Ok(())
    })
}

/// What a waiting call takes.
fn waiting_calls(contender: Name) -> Result<f64> {
    let mut pair = Pair::start(contender)?;
    pair.count(Call::Upcase, 16, 1000)?;
    let before = resident(&mut pair)?;
    pair.client.time(&Command::Begin { call: FOR_EVER, calls: MANY })?;
    thread::sleep(SETTLING);
    Ok((resident(&mut pair)? - before) / MANY as f64)
}

/// What a further connection between a client and a server takes.
fn connections(bench: &Bench, contender: Name) -> Result<f64> {
    let count = bench.scaled(MANY as u64) as usize;
    let mut server = Child::start(contender)?;
    let to = server.serve(Setup::default())?;
    let mut client = Child::start(contender)?;
    client.time(&Command::Connect { to, count: 1 })?;
    let mut pair = Pair { server, client, connecting: Duration::ZERO };
    pair.count(Call::Upcase, 1, 1)?;
    let before = resident(&mut pair)?;
    pair.client.time(&Command::Connect { to, count })?;
    thread::sleep(SETTLING);
    Ok((resident(&mut pair)? - before) / count as f64)
}

/// What a link takes in a mesh of nodes, beside as many nodes that know nothing of each other: with
/// all that nodes know about their peers. Both ends of all links are in one process.
fn mesh(bench: &Bench) -> Result<f64> {
    let nodes = if bench.is_quick() { NODES / 3 } else { NODES };
    let mut taken = [0.0; 2];
    for (apart, taken) in [true, false].into_iter().zip(&mut taken) {
        let mut child = Child::start(Name::Flyrpc)?;
        child.serve(Setup { more: nodes - 1, apart, ..Setup::default() })?;
        thread::sleep(MESH_SETTLING);
        *taken = child.snapshot()?.resident as f64;
    }
    Ok((taken[1] - taken[0]) / (nodes * (nodes - 1) / 2) as f64)
}

fn resident(pair: &mut Pair) -> Result<f64> {
    Ok(pair.snapshots()?.iter().map(|snapshot| snapshot.resident as f64).sum())
}

fn comparisons() -> Vec<Comparison> {
    let mut comparisons = Comparison::with_flyrpc("memory-waiting-call", &["tarpc", "tonic"]);
    comparisons.extend(Comparison::with_flyrpc("memory-idle-link", &["tarpc", "tonic"]));
    comparisons
}
