//! Starts a cluster of several regions on this machine, and demonstrates what flyrpc guarantees.
//!
//! Every line marked `ok` was checked. The other processes run this same program, with one of the
//! hidden subcommands.

mod cluster;
mod lessons;
mod report;

use std::{error::Error, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use flyrpc_examples::{
    flags::{self, NodeFlags},
    process, show,
};

use self::{cluster::Cluster, report::Report};

/// Upper bound on the time of the whole tour.
const DEADLINE: Duration = Duration::from_secs(90);

/// Starts a cluster of several regions on this machine, and demonstrates what flyrpc guarantees.
///
/// This process is a node in fra. Its children are two nodes in iad, the primary region, one node each
/// in hkg and syd, and one process that is not flyrpc. Every line marked `ok` was checked. The tour
/// takes two or three seconds, uses free ports on loopback, and leaves nothing behind. Exits with 0 if
/// all checks passed.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Flags {
    /// Prints the logs of all nodes to standard error, filtered by RUST_LOG.
    #[arg(long)]
    logs: bool,
    #[command(subcommand)]
    child: Option<Process>,
}

/// The kinds of child processes.
#[derive(Debug, Subcommand)]
enum Process {
    /// A node of the text service.
    #[command(hide = true)]
    Node(NodeFlags),
    /// A server that does not implement flyrpc.
    #[command(hide = true)]
    OtherProgram,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    flags::log(if flags.logs || flags.child.is_some() { "info" } else { "off" });
    let ended = match flags.child {
        None => tour(flags.logs).await,
        Some(Process::Node(node)) => process::run_child_node(node).await.map(|()| true),
        Some(Process::OtherProgram) => cluster::run_other_program().await.map(|()| true),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("\nThe tour failed: {}", show::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Runs all lessons. Returns true if all checks passed.
async fn tour(logs: bool) -> Result<bool, Box<dyn Error>> {
    let mut report = Report::new();
    let whole = async {
        let mut cluster = Cluster::start(logs).await?;
        lessons::all(&mut cluster, &mut report).await
    };
    match tokio::time::timeout(DEADLINE, whole).await {
        Ok(ended) => ended?,
        Err(_) => report.broken("the tour ends in time"),
    }
    Ok(report.sum_up())
}
