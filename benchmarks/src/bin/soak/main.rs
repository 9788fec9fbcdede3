//! Runs a cluster of real processes for a long time, under load, churn and faults. Checks for leaks, and
//! for calls that execute twice or contradict their outcome.

mod churn;
mod idle;
mod ledger;
mod load;
mod process;
mod report;
mod worker;

use std::{error::Error, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use flyrpc_examples::{
    flags::{self, NodeFlags},
    show,
};
use tokio::time::{Instant, sleep};

use crate::{churn::Churn, ledger::Ledger, process::Worker, report::Report};

/// Number of long-lived nodes, whose memory, descriptors and tasks are compared.
const STABLE: usize = 4;

/// Number of nodes that are killed, frozen and restarted.
const VICTIMS: usize = 2;

/// Time without load and faults before a sample, in which calls end, links reconnect, and buffers are
/// released.
const SETTLE: Duration = Duration::from_secs(20);

/// Runs nodes in separate processes under load (small and long bodies, timeouts, canceled calls), while two
/// of them are killed, frozen and restarted. At the end of the warm-up and of the run, load and faults
/// pause, and the program samples resident memory, descriptors and tasks of the four other nodes.
///
/// Exits with 1 if the memory of a node grew by more than 5 MiB, if its number of descriptors or tasks grew,
/// if a call executed twice, or if a call executed although its caller received an error that rules this
/// out.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Flags {
    /// Duration of the load after the warm-up, in minutes.
    #[arg(long, default_value_t = 25.0)]
    minutes: f64,
    /// Duration of the load before the first sample, in minutes.
    #[arg(long, default_value_t = 5.0)]
    warm_up: f64,
    /// Seed of the order of faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Another measurement, or the kind of a child process.
#[derive(Debug, Subcommand)]
enum Command {
    /// Measures the processor time of an idle node with many links. Exits with 1 if it is more than 1 % of a
    /// core.
    Idle(idle::Flags),
    /// Nodes that make no calls.
    #[command(hide = true)]
    IdleNodes(idle::Nodes),
    /// A node that serves and calls.
    #[command(hide = true)]
    Worker(NodeFlags),
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let ended = match flags.command {
        None => {
            flags::log("off");
            soak(&flags).await
        }
        Some(Command::Idle(flags)) => {
            flags::log("off");
            idle::measure(&flags).await
        }
        Some(Command::IdleNodes(nodes)) => {
            flags::log("error");
            idle::run(nodes).await.map(|never| match never {})
        }
        Some(Command::Worker(node)) => {
            flags::log("error");
            worker::run(node).await.map(|never| match never {})
        }
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {}", show::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn soak(flags: &Flags) -> Result<bool, Box<dyn Error>> {
    let ledger = Ledger::default();
    let first = Worker::start("stable-0", 0, &[], &ledger).await?;
    let seeds = [first.addr()];
    let mut stable = vec![first];
    for at in 1..STABLE {
        stable.push(Worker::start(&format!("stable-{at}"), at, &seeds, &ledger).await?);
    }
    let mut victims = Vec::new();
    for at in 0..VICTIMS {
        victims.push(Worker::start(&format!("victim-{at}"), at, &seeds, &ledger).await?);
    }
    let mut churn = Churn::new(victims, seeds.to_vec(), flags.seed);

    run(&stable, &mut churn, &ledger, flags.warm_up).await?;
    let before = rest(&stable, &mut churn).await?;
    println!("after {} minutes of load:\n{before}", flags.warm_up);
    run(&stable, &mut churn, &ledger, flags.minutes).await?;
    let after = rest(&stable, &mut churn).await?;
    println!("after {} more minutes of load:\n{after}", flags.minutes);

    churn.stop().await;
    for worker in stable {
        worker.kill().await?;
    }
    println!("{}", churn.summary());
    let verdict = ledger.verdict();
    println!("{verdict}");
    let growth = after.growth_since(&before);
    println!("{growth}");
    Ok(verdict.is_clean() && growth.is_acceptable())
}

/// Runs load and faults for a number of minutes.
async fn run(
    stable: &[Worker],
    churn: &mut Churn,
    ledger: &Ledger,
    minutes: f64,
) -> Result<(), Box<dyn Error>> {
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    for worker in stable {
        worker.set_load(true).await?;
    }
    while Instant::now() < end {
        churn.next_fault(ledger).await?;
    }
    Ok(())
}

/// Pauses load and faults, and samples the stable nodes.
async fn rest(stable: &[Worker], churn: &mut Churn) -> Result<Report, Box<dyn Error>> {
    churn.pause().await?;
    for worker in stable {
        worker.set_load(false).await?;
    }
    sleep(SETTLE).await;
    let mut report = Report::default();
    for worker in stable {
        report.add(worker.sample().await?);
    }
    Ok(report)
}
