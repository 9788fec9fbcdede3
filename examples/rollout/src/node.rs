//! A node in a process of its own, as a deploy starts it.

use std::{error::Error, process::ExitCode};

use clap::Parser;
use flyrpc::{Node, Service};
use flyrpc_examples::{
    flags::{self, NodeFlags},
    process, show,
};

/// Serves one version of the orders until SIGINT or SIGTERM.
///
/// `rollout` starts it. It takes calls once it has found the others, and then writes one line to
/// standard output: `up id=… region=… addr=…`. It ends when its standard input does.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Flags {
    #[command(flatten)]
    node: NodeFlags,
}

/// All of a program that serves `service`.
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
    // A new node counts for nothing before it is linked with those that will call it. Migrations
    // and health checks have their place here, too.
    node.ready().await;
    node.accept();
    println!("{}", process::announcement(node.info()));
    node.run_until_signal().await?;
    Ok(())
}
