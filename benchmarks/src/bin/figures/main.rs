//! Measures the figures of the README, each with a figure to compare it with.

mod detection;
mod latency;
mod memory;

use std::{error::Error, process::ExitCode, thread};

use clap::{Parser, Subcommand};
use flyrpc::{Node, NodeInfo};
use flyrpc_examples::{
    flags::{self, NodeFlags},
    process::{self, Child},
    show,
    text::TextService,
};

/// Measures the figures of the README on this machine.
///
/// Nodes run in their own processes, on loopback. Ratios compare figures that are measured alternately in
/// one run. Takes about half a minute. Build with --release. On one core (taskset -c 0), it shows the cost
/// of a call without waking up another core, which dominates on an idle machine.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Flags {
    #[command(subcommand)]
    child: Option<Process>,
}

/// The kinds of child processes.
#[derive(Debug, Subcommand)]
enum Process {
    /// A node of the text service.
    #[command(hide = true)]
    Node(NodeFlags),
    /// A server that echoes what it receives.
    #[command(hide = true)]
    Echo,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    flags::log("off");
    let ended = match flags.child {
        None => figures().await,
        Some(Process::Node(node)) => process::run_child_node(node).await,
        Some(Process::Echo) => latency::run_echo().await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("figures: {}", show::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn figures() -> Result<(), Box<dyn Error>> {
    let cores = thread::available_parallelism()?;
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    println!(
        "flyrpc {}, {cores} cores, {workers} worker threads per process, loopback",
        env!("CARGO_PKG_VERSION")
    );
    if cfg!(debug_assertions) {
        println!("This is a debug build, and its figures are not meaningful. Use --release.");
    }
    latency::local().await?;
    latency::remote().await?;
    detection::killed().await?;
    detection::frozen().await?;
    memory::idle().await
}

fn heading(text: &str) {
    println!("\n{text}");
}

fn row(what: &str, figure: impl std::fmt::Display) {
    println!("  {what:<56}{figure:>12}");
}

/// Starts a node in a child process.
async fn start_node(name: &str, seeds: &str) -> Result<(Child, NodeInfo), Box<dyn Error>> {
    let region = name.split('-').next().expect("a split has a first part");
    let mut args = vec!["node", "--name", name, "--region", region, "--primary-region", "iad"];
    if !seeds.is_empty() {
        args.extend(["--seed", seeds]);
    }
    let mut child = Child::spawn(args, false)?;
    let info = child.node().await?;
    Ok((child, info))
}

/// Starts a node in this process, in region iad.
async fn start_here(seeds: &str) -> Result<Node, Box<dyn Error>> {
    let builder = Node::builder().name("iad-1").region("iad").primary_region("iad");
    let seeds = seeds.split(',').filter(|seed| !seed.is_empty());
    let node = TextService::default().start(builder.seeds(seeds)).await?;
    node.ready().await;
    Ok(node)
}
