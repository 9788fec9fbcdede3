//! The main loop of a child.

use std::{
    io::{self, BufRead, Write},
    time::Instant,
};

use anyhow::{Context, Result};
use rustix::{
    process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit},
    thread::{CpuSet, sched_setaffinity},
};
use tokio::runtime;

use super::{Command, Reply, Snapshot, load, local, routing};
use crate::contenders::{Contender, Flyrpc, Name, Raw, Served, Tarpc, Tonic};

/// Number of threads that run tasks, in each process.
const WORKERS: usize = 2;

/// The arguments of a child.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Role {
    /// The contender that the child runs.
    pub(crate) contender: Name,

    /// The cores that the child may run on [default: all].
    #[arg(long, value_delimiter = ',')]
    pub(crate) cores: Vec<usize>,
}

/// Carries out commands from standard input until it is closed.
pub(crate) fn run(role: &Role, allocations: fn() -> u64) -> Result<()> {
    // A child must not outlive the benchmark, even if that is killed.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Some workloads open more connections than the default limit of open files allows.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    if !role.cores.is_empty() {
        let mut cores = CpuSet::new();
        role.cores.iter().for_each(|&core| cores.set(core));
        // Threads that are started later inherit the affinity.
        sched_setaffinity(None, &cores).context("cannot set the CPU affinity")?;
    }
    match role.contender {
        Name::Raw => Worker::<Raw<false>>::run(allocations),
        Name::RawBatched => Worker::<Raw<true>>::run(allocations),
        Name::Tarpc => Worker::<Tarpc>::run(allocations),
        Name::Tonic => Worker::<Tonic<false>>::run(allocations),
        Name::TonicTls => Worker::<Tonic<true>>::run(allocations),
        Name::Flyrpc | Name::Beside => Worker::<Flyrpc<false>>::run(allocations),
        Name::FlyrpcSealed => Worker::<Flyrpc<true>>::run(allocations),
    }
}

/// A server or a client.
struct Worker<C> {
    allocations: fn() -> u64,
    served: Vec<Served>,
    clients: Vec<C>,
}

impl<C: Contender> Worker<C> {
    fn run(allocations: fn() -> u64) -> Result<()> {
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
        let mut worker = Worker::<C> { allocations, served: Vec::new(), clients: Vec::new() };
        let mut replies = io::stdout().lock();
        for line in io::stdin().lock().lines() {
            let command = serde_json::from_str(&line?).context("cannot parse a command")?;
            let reply = runtime.block_on(worker.carry_out(command));
            let reply = reply.unwrap_or_else(|error| Reply::Failed { why: format!("{error:#}") });
            serde_json::to_writer(&mut replies, &reply)?;
            replies.write_all(b"\n")?;
        }
        // Does not wait for tasks that still run.
        runtime.shutdown_background();
        Ok(())
    }

    async fn carry_out(&mut self, command: Command) -> Result<Reply> {
        let start = Instant::now();
        match command {
            Command::Serve(setup) => {
                let served = C::serve(&setup).await?;
                let addr = served.addr;
                self.served.push(served);
                return Ok(Reply::Served { addr });
            }
            Command::Connect { to, count, lazily } => {
                for _ in 0..count {
                    let client = if lazily { C::start(to).await? } else { C::connect(to).await? };
                    self.clients.push(client);
                }
            }
            Command::Count { call, callers, calls } => {
                load::count(self.client()?, call, callers, calls).await?;
            }
            Command::Begin { micros, calls } => {
                for _ in 0..calls {
                    let client = self.client()?.clone();
                    // The task contains only the call, because the workload measures its memory.
                    tokio::spawn(async move { client.pause(micros).await });
                }
            }
            Command::Local { way, calls } => {
                return Ok(Reply::Done { took: local::call(way, calls).await? });
            }
            Command::Routing { op, nodes, times } => {
                return Ok(Reply::Done { took: routing::repeat(op, nodes, times)? });
            }
            Command::Load(load) => {
                return load::load(self.client()?, &load).await.map(Reply::Measured);
            }
            Command::Snapshot => return Snapshot::take(self.allocations).map(Reply::Snapshot),
        }
        Ok(Reply::Done { took: start.elapsed() })
    }

    fn client(&self) -> Result<&C> {
        self.clients.first().context("not connected yet")
    }
}
