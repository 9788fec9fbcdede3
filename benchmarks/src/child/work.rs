//! The loop of a child.

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

/// How many threads run tasks, in each process.
const WORKERS: usize = 2;

/// What a child is started as.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Role {
    /// The contender that it serves and calls as.
    pub(crate) contender: Name,

    /// The cores it may run on; all by default.
    #[arg(long, value_delimiter = ',')]
    pub(crate) cores: Vec<usize>,
}

/// Carries out commands from standard input until it ends.
pub(crate) fn run(role: &Role, allocations: fn() -> u64) -> Result<()> {
    // It must not outlive the benchmark, however that ends.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Some workloads open more connections than a process may by default.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    if !role.cores.is_empty() {
        let mut cores = CpuSet::new();
        role.cores.iter().for_each(|&core| cores.set(core));
        // Threads that are started later inherit it.
        sched_setaffinity(None, &cores).context("cannot choose the cores")?;
    }
    match role.contender {
        Name::Raw => Worker::<Raw<false>>::run(allocations),
        Name::RawBatched => Worker::<Raw<true>>::run(allocations),
        Name::Tarpc => Worker::<Tarpc>::run(allocations),
        Name::Tonic => Worker::<Tonic>::run(allocations),
        Name::Flyrpc | Name::Beside => Worker::<Flyrpc>::run(allocations),
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
            let command = serde_json::from_str(&line?).context("a command is not understood")?;
            let reply = runtime.block_on(worker.obey(command));
            let reply = reply.unwrap_or_else(|error| Reply::Failed { why: format!("{error:#}") });
            serde_json::to_writer(&mut replies, &reply)?;
            replies.write_all(b"\n")?;
        }
        // No one waits for the tasks that still run.
        runtime.shutdown_background();
        Ok(())
    }

    async fn obey(&mut self, command: Command) -> Result<Reply> {
        let start = Instant::now();
        match command {
            Command::Serve(setup) => {
                let served = C::serve(&setup).await?;
                let addr = served.addr;
                self.served.push(served);
                return Ok(Reply::Served { addr });
            }
            Command::Connect { to, count } => {
                for _ in 0..count {
                    self.clients.push(C::connect(to).await?);
                }
            }
            Command::Count { call, callers, calls } => {
                load::count(self.client()?, call, callers, calls).await?;
            }
            Command::Begin { micros, calls } => {
                for _ in 0..calls {
                    let client = self.client()?.clone();
                    // Nothing around it: what is measured is what a call takes.
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
