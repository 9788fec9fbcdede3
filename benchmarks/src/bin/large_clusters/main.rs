//! Simulates the membership of clusters of thousands of nodes.

mod network;
mod plot;
mod progress;
mod scenarios;
mod stats;
mod table;

use std::{
    error::Error,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use clap::{Parser, ValueEnum};
use flyrpc_examples::{flags, show};

use self::{
    progress::Bars,
    scenarios::{Plan, Results, Scenario},
};

/// Simulates the membership of clusters of thousands of nodes, in virtual time.
///
/// Every node runs flyrpc's membership code. The network has ten regions with measured round trips
/// between them, and loses datagrams. Only the links to seeds are simulated. Prints a table in Markdown:
/// how long nodes take to learn of a crash, a leave, a join, a rolling restart and a partition, and the
/// traffic. With --out, also writes plots. Build with --release. 1,000 nodes take some minutes and
/// 0.7 GB. Time grows with the cube of the number of nodes, memory with the square.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Flags {
    /// Sizes of the clusters to simulate.
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "30,100,300",
        value_parser = clap::value_parser!(u16).range(10..=9_000)
    )]
    nodes: Vec<u16>,
    /// Scenarios to run on each cluster, one after another [default: all].
    #[arg(long = "scenario", value_name = "NAME", value_delimiter = ',')]
    scenarios: Vec<Scenario>,
    /// Number of repetitions of a crash, a join, a leave and another join. The table shows medians.
    #[arg(long, value_name = "TIMES", default_value_t = 7)]
    repeats: usize,
    /// Duration of a rolling restart: nodes leave one after another, and each starts again a second later.
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = flags::duration)]
    restart: Duration,
    /// Share of datagrams that are lost, from 0 to below 1.
    #[arg(long, default_value_t = 0.01, value_parser = share)]
    loss: f64,
    /// Seal datagrams, as nodes with a secret do.
    #[arg(long)]
    sealed: bool,
    /// Seed of the simulation. Equal seeds give equal results.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of clusters that are simulated at the same time [default: the number of cores].
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Directory to which the table (table.md) and the plots (plots.svg) are also written.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("large_clusters: {}", show::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(flags: Flags) -> Result<(), Box<dyn Error>> {
    let threads = match flags.threads {
        Some(threads) => threads,
        None => thread::available_parallelism()?,
    };
    let results = simulate(&plans(&flags), threads);
    let table = table::markdown(&results);
    print!("{table}");
    match &flags.out {
        Some(directory) => write(directory, &table, &results),
        None => Ok(()),
    }
}

/// Returns a plan for each size, the smallest first.
fn plans(flags: &Flags) -> Vec<Plan> {
    let mut sizes = flags.nodes.clone();
    sizes.sort_unstable();
    sizes.dedup();
    let scenarios = match &flags.scenarios[..] {
        [] => Scenario::value_variants().to_vec(),
        scenarios => scenarios.to_vec(),
    };
    let plan = |nodes: u16| Plan {
        nodes: usize::from(nodes),
        scenarios: scenarios.clone(),
        repeats: flags.repeats,
        restart: flags.restart,
        loss: flags.loss,
        sealed: flags.sealed,
        seed: flags.seed,
    };
    sizes.into_iter().map(plan).collect()
}

/// Simulates the plans on `threads` threads. The largest clusters come first, because they take longest.
fn simulate(plans: &[Plan], threads: NonZeroUsize) -> Vec<Results> {
    let bars = Bars::default();
    let bars: Vec<_> = plans.iter().map(|plan| bars.add(plan.nodes, plan.expected())).collect();
    let waiting = Mutex::new(plans.iter().zip(bars).collect::<Vec<_>>());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads.get() {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some((plan, bar)) = next else { return };
                    let results = scenarios::run(plan, bar);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(results);
                }
            });
        }
    });
    let mut results = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|results| results.nodes);
    results
}

fn write(directory: &Path, table: &str, results: &[Results]) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("table.md"), table)?;
    fs::write(directory.join("plots.svg"), plot::svg(results)?)?;
    Ok(())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| format!("`{text}` is not a share: expected a number from 0 to below 1"))
}
