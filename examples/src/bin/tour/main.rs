//! Starts a cluster of several regions on this machine, and shows what flyrpc promises of it.
//!
//! Every line marked `ok` was checked. The other processes are this very program, run again with
//! one of the hidden subcommands.

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

/// The tour ends by then, come what may.
const DEADLINE: Duration = Duration::from_secs(90);

/// Starts a cluster of several regions on this machine, and shows what flyrpc promises of it.
///
/// Two nodes in iad, the primary region, one each in hkg and syd, and one process that is not
/// flyrpc run as children of this process, which is a node in fra. Each line marked `ok` was
/// checked. Takes two or three seconds and free ports on loopback, and leaves nothing behind. Exits with 0
/// if every promise was kept.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Flags {
    /// Shows the logs of all nodes, on standard error; RUST_LOG says how much.
    #[arg(long)]
    logs: bool,
    #[command(subcommand)]
    child: Option<Process>,
}

/// What the children of a tour are.
#[derive(Debug, Subcommand)]
enum Process {
    /// A node of the text service.
    #[command(hide = true)]
    Node(NodeFlags),
    /// A server that knows nothing of flyrpc.
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
            println!("\nThe tour cannot go on: {}", show::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Goes through all lessons. True if every promise was kept.
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
