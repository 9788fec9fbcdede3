//! Resident memory of both processes per idle connection, and per call that waits for its reply.

use std::{thread, time::Duration};

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit};

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Child, Command, Pair, Plan},
    contenders::{Name, Setup},
};

pub(crate) const WORKLOAD: Workload = Workload { name: "memory", seconds: 100, run, comparisons };

/// Number of waiting calls, and of connections.
const MANY: usize = 10_000;

/// Number of files that a process may open in addition to the connections.
const OTHER_FILES: u64 = 500;

/// Time until all calls and connections have reached the server.
const SETTLING: Duration = Duration::from_secs(1);

/// Time until a mesh is idle: buffers are released, and all changes have been gossiped.
const MESH_SETTLING: Duration = Duration::from_secs(2);

/// Time that the handlers of waiting calls sleep, in microseconds: longer than any run.
const ENDLESS: u32 = u32::MAX;

fn run(bench: &mut Bench) -> Result<()> {
    let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let links = bench.scaled(MANY as u64).min(files.saturating_sub(OTHER_FILES)) as usize;
    bench.interleave(&Name::ALL_AND_SEALED, |bench, contender| {
        let plan = bench.plan(contender);
        if contender != Name::Raw {
            let taken = waiting_calls(&plan)?;
            bench.figures.add(format!("memory-waiting-call-{contender}"), taken, "bytes/call");
        }
        let taken = match contender {
            Name::Flyrpc | Name::FlyrpcSealed | Name::Beside => mesh(&plan, links)?,
            _ => connections(&plan, links)?,
        };
        bench.figures.add(format!("memory-idle-link-{contender}"), taken, "bytes/link");
        Ok(())
    })
}

/// Returns the memory per waiting call, in bytes.
fn waiting_calls(plan: &Plan) -> Result<f64> {
    let Pair { mut server, mut client, .. } = Pair::start(plan)?;
    client.time(&Command::Count { call: Call::Upcase, callers: 16, calls: 1000 })?;
    let before = server.resident()? + client.resident()?;
    client.time(&Command::Begin { micros: ENDLESS, calls: MANY })?;
    thread::sleep(SETTLING);
    Ok((server.resident()? + client.resident()? - before) / MANY as f64)
}

/// Returns the memory per additional connection between a client and a server, in bytes.
fn connections(plan: &Plan, count: usize) -> Result<f64> {
    let mut server = Child::start(plan)?;
    let mut client = Child::start(plan)?;
    let to = server.serve(Setup::default())?;
    client.time(&Command::Connect { to, count: 1, lazily: false })?;
    client.time(&Command::Count { call: Call::Upcase, callers: 1, calls: 1 })?;
    let before = server.resident()? + client.resident()?;
    client.time(&Command::Connect { to, count, lazily: false })?;
    thread::sleep(SETTLING);
    Ok((server.resident()? + client.resident()? - before) / count as f64)
}

/// Returns the memory per link in a mesh of about `links` links, in bytes. It is the difference from the same
/// number of nodes that do not know each other, and so includes the state that nodes keep about peers.
fn mesh(plan: &Plan, links: usize) -> Result<f64> {
    // Half of the n nodes run in each of two processes. Among all nodes, there are n (n - 1) / 2 links.
    let half = (2 * links).isqrt().div_ceil(2);
    let links = half * (2 * half - 1);
    Ok((two_processes(plan, half, false)? - two_processes(plan, half, true)?) / links as f64)
}

/// Returns the memory of `nodes` nodes in each of two processes, in bytes. If `apart`, the nodes do not know
/// each other, otherwise all of them are linked.
fn two_processes(plan: &Plan, nodes: usize, apart: bool) -> Result<f64> {
    let setup = Setup { more: nodes - 1, apart, ..Setup::default() };
    let mut first = Child::start(plan)?;
    let mut second = Child::start(plan)?;
    let seed = first.serve(setup.clone()).context("cannot start the first half of the nodes")?;
    let elsewhere = (!apart).then_some((seed, nodes));
    second
        .serve(Setup { elsewhere, ..setup })
        .context("cannot start the second half of the nodes")?;
    thread::sleep(MESH_SETTLING);
    Ok(first.resident()? + second.resident()?)
}

fn comparisons() -> Vec<Comparison> {
    let figures = ["memory-waiting-call", "memory-idle-link"];
    figures.iter().flat_map(|figure| Comparison::with_flyrpc(figure, &["tarpc", "tonic"])).collect()
}
