//! A node of the text service.

use std::{error::Error, process::ExitCode};

use clap::Parser;
use flyrpc::Node;
use flyrpc_examples::{
    flags::{self, NodeFlags},
    process::announcement,
    show,
    text::TextService,
};

/// Runs a node of the text service until SIGINT or SIGTERM.
///
/// Flags override environment variables, which `Node::from_env()` reads. Neither is required on a
/// laptop: the node is then a cluster of one in region "local". When the node is up, it prints one line
/// to standard output: `up id=… region=… addr=…`. Pass that address to other nodes as a seed. Logs go
/// to standard error, filtered by RUST_LOG.
#[derive(Debug, Parser)]
#[command(
    max_term_width = 100,
    after_help = "\
Examples:
  node --region iad --primary-region iad --listen 127.0.0.1:3590
  node --region hkg --primary-region iad --seed 127.0.0.1:3590
  FLY_REGION=hkg PRIMARY_REGION=iad FLYRPC_SEEDS=127.0.0.1:3590 node"
)]
struct Flags {
    #[command(flatten)]
    node: NodeFlags,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    flags::log("info");
    match run(flags).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("node: {}", show::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> Result<(), Box<dyn Error>> {
    let node = TextService::default().start(flags.node.apply(Node::from_env()?)).await?;
    println!("{}", announcement(node.info()));
    node.run_until_signal().await?;
    Ok(())
}
