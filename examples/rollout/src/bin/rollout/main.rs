//! Replaces every node of a cluster by one of another version, one after another, under load. Then
//! rolls back.

mod deploy;
mod load;
mod table;

use std::{error::Error, process::ExitCode, time::Duration};

use clap::Parser;
use flyrpc::{RpcError, Unsupported};
use flyrpc_examples::{flags, show};
use flyrpc_rollout::{v1, v2};

use self::{
    deploy::{Deploy, Version},
    load::{Load, Tally},
    table::{Expected, Table},
};

/// Upper bound on the time of the whole run.
const DEADLINE: Duration = Duration::from_secs(90);

/// The regions with two nodes each, the primary first.
const REGIONS: [&str; 3] = ["iad", "fra", "hkg"];

/// The region with a single node.
const LONELY: &str = "syd";

/// Deploys another version of a service, node by node, under load, and rolls it back.
///
/// Six nodes of v1 run in their own processes, two in each of three regions, on free ports of loopback.
/// While this process calls them continuously, each node receives SIGTERM or SIGINT and is replaced by
/// one of v2 at the same address. The only node of a fourth region is then replaced, too. Finally,
/// the six nodes are replaced by nodes of v1. Prints which versions executed the calls, which calls
/// failed, and the longest time between two successful calls. Exits with 0 if no call failed
/// unexpectedly. Takes some seconds and leaves nothing behind. Progress is printed to standard error.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Flags {
    /// Prints the logs of all nodes to standard error, filtered by RUST_LOG.
    #[arg(long)]
    logs: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    flags::log(if flags.logs { "info" } else { "off" });
    match tokio::time::timeout(DEADLINE, run(flags.logs)).await {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(error)) => {
            eprintln!("rollout: {}", show::chain(&*error));
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("rollout: not finished after {DEADLINE:?}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all steps. Returns true if no call failed unexpectedly.
async fn run(logs: bool) -> Result<bool, Box<dyn Error>> {
    let mut deploy = Deploy::start(&REGIONS, 2, logs).await?;
    let mut kept = absent(&deploy, "v2.cancel", |client| client.v2.cancel(1)).await;

    kept &= replaced(&mut deploy, Version::V2).await?;
    kept &= absent(&deploy, "v1.fax", |client| client.v1.fax(1)).await;
    kept &= alone(&mut deploy).await?;
    kept &= replaced(&mut deploy, Version::V1).await?;
    deploy.stop().await?;
    println!("\n{}", if kept { "No call failed unexpectedly." } else { "Some checks failed." });
    Ok(kept)
}

/// Replaces all nodes by nodes of `version`, under load.
async fn replaced(deploy: &mut Deploy, version: Version) -> Result<bool, Box<dyn Error>> {
    let load = Load::on(&deploy.client, &REGIONS);
    let rolled = deploy.roll(&REGIONS, version).await;
    let tallies = load.end().await;
    let title = format!("Six nodes replaced by {version}, one by one, in {}", show::time(rolled?));
    Ok(print(&title, &tallies, Expected::Success))
}

/// Replaces the only node of a region, under load from callers that wait and from callers that do not.
async fn alone(deploy: &mut Deploy) -> Result<bool, Box<dyn Error>> {
    deploy.add(LONELY, Version::V1).await?;
    let waiting = Load::that_waits(&deploy.client, LONELY);
    let hasty = Load::on_region(&deploy.client, LONELY);
    let rolled = deploy.roll(&[LONELY], Version::V2).await;
    let (waiting, hasty) = (waiting.end().await, hasty.end().await);
    let took = show::time(rolled?);
    let title = format!("The only node of {LONELY} replaced, in {took}: calls that wait");
    let kept = print(&title, &waiting, Expected::Success);
    Ok(print("The same: calls that do not wait", &hasty, Expected::Absence) && kept)
}

fn print(title: &str, tallies: &[Tally], expected: Expected) -> bool {
    let table = Table { title, tallies, expected };
    println!("\n{table}");
    table.is_as_expected()
}

/// Checks that a call of a method that no node has fails with [`Unsupported::Method`].
async fn absent<T, F>(deploy: &Deploy, what: &str, call: impl Fn(&load::Clients) -> F) -> bool
where
    F: Future<Output = Result<T, RpcError>>,
{
    let outcome = call(&load::Clients::on(&deploy.client, REGIONS[1])).await;
    let kept = matches!(&outcome, Err(RpcError::Unsupported { why: Unsupported::Method, .. }));
    match outcome {
        Ok(_) => println!("{what} succeeded, although no node has this method"),
        Err(error) => println!("{what}, which no node has: {}", show::rpc_error(&error)),
    }
    kept
}

impl load::Clients {
    /// Creates clients of both versions that target a region.
    fn on(node: &flyrpc::Node, region: &str) -> Self {
        let v1: v1::OrdersClient = node.client();
        let v2: v2::OrdersClient = node.client();
        load::Clients { v1: v1.on_region(region), v2: v2.on_region(region) }
    }
}
