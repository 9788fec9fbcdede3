//! A node in its own process, as a deploy starts it.

use std::{error::Error, process::ExitCode};

use clap::Parser;
use flyrpc::{Node, Service};
use flyrpc_examples::{
    flags::{self, NodeFlags},
    process, show,
};

/// Serves one version of the orders service until SIGINT or SIGTERM.
///
/// `rollout` starts this program. The node accepts calls once it has found the other nodes, and then
/// prints one line to standard output: `up id=… region=… addr=…`. The process exits when its standard
/// input is closed.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Flags {
    #[command(flatten)]
    node: NodeFlags,
}

/// The `main` function of a program that serves `service`.
pub fn main(service: impl Service) -> ExitCode {
    let flags = Flags::parse();
    flags::log("off");
    match run(flags.node, service) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", show::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(flags: NodeFlags, service: impl Service) -> Result<(), Box<dyn Error>> {
    process::end_with_parent();
    let node = flags.apply(Node::builder()).serve(service).hold().start().await?;
    // A new node can receive calls only after it is linked to its callers. Migrations and health
    // checks belong here, too.
    node.ready().await;
    node.accept();
    println!("{}", process::announcement(node.info()));
    node.run_until_signal().await?;
    Ok(())
}
