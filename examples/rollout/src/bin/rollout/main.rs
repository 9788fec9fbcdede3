//! Replaces every node of a cluster by one of another version, one after another, while callers
//! call without pause; then takes it all back.

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

/// It ends by then, come what may.
const DEADLINE: Duration = Duration::from_secs(90);

/// The regions with two nodes each, the primary first.
const REGIONS: [&str; 3] = ["iad", "fra", "hkg"];

/// The region with a single node.
const LONELY: &str = "syd";

/// Deploys another version of a service, node by node, under load, and rolls it back.
///
/// Six nodes of v1 run as processes of their own, two in each of three regions, on free ports of
/// loopback. While this process calls them without pause, each gets SIGTERM or SIGINT and is
/// replaced by one of v2 at the same address. The same is then done to a region with one node, and
/// at last all go back to v1. Prints who answered, what failed, and the longest time between
/// two answers. Exits with 0 if no call failed that must not. Takes some seconds and leaves nothing
/// behind. Progress is on standard error.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Flags {
    /// Shows the logs of all nodes, on standard error; RUST_LOG says how much.
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
            eprintln!("rollout: it has not ended after {DEADLINE:?}");
            ExitCode::FAILURE
        }
    }
}

/// All of it. True if no call failed that must not.
async fn run(logs: bool) -> Result<bool, Box<dyn Error>> {
    let mut deploy = Deploy::start(&REGIONS, 2, logs).await?;
    let mut kept = absent(&deploy, "v2.cancel", |client| client.v2.cancel(1)).await;

    kept &= replaced(&mut deploy, Version::V2).await?;
    kept &= absent(&deploy, "v1.fax", |client| client.v1.fax(1)).await;
    kept &= alone(&mut deploy).await?;
    kept &= replaced(&mut deploy, Version::V1).await?;
    deploy.stop().await?;
    println!("\n{}", if kept { "No call failed that must not." } else { "Calls failed." });
    Ok(kept)
}

/// Replaces all nodes by ones of `version`, under load.
async fn replaced(deploy: &mut Deploy, version: Version) -> Result<bool, Box<dyn Error>> {
    let load = Load::on(&deploy.client, &REGIONS);
    let rolled = deploy.roll(&REGIONS, version).await;
    let tallies = load.end().await;
    let title = format!("Six nodes replaced by {version}, one by one, in {}", show::time(rolled?));
    Ok(print(&title, &tallies, Expected::Answers))
}

/// Replaces the one node of a region, under load from callers that wait and from others.
async fn alone(deploy: &mut Deploy) -> Result<bool, Box<dyn Error>> {
    deploy.add(LONELY, Version::V1).await?;
    let waiting = Load::that_waits(&deploy.client, LONELY);
    let hasty = Load::on_region(&deploy.client, LONELY);
    let rolled = deploy.roll(&[LONELY], Version::V2).await;
    let (waiting, hasty) = (waiting.end().await, hasty.end().await);
    let took = show::time(rolled?);
    let title = format!("The only node of {LONELY} replaced, in {took}: calls that wait");
    let kept = print(&title, &waiting, Expected::Answers);
    Ok(print("The same: calls that do not wait", &hasty, Expected::Absence) && kept)
}

fn print(title: &str, tallies: &[Tally], expected: Expected) -> bool {
    let table = Table { title, tallies, expected };
    println!("\n{table}");
    table.is_as_expected()
}

/// Checks that a method that no node has is known to be absent.
async fn absent<T, F>(deploy: &Deploy, what: &str, call: impl Fn(&load::Clients) -> F) -> bool
where
    F: Future<Output = Result<T, RpcError>>,
{
    let outcome = call(&load::Clients::on(&deploy.client, REGIONS[1])).await;
    let kept = matches!(&outcome, Err(RpcError::Unsupported { why: Unsupported::Method, .. }));
    match outcome {
        Ok(_) => println!("{what} is answered, though no node has it"),
        Err(error) => println!("{what}, while no node has it: {}", show::rpc_error(&error)),
    }
    kept
}

impl load::Clients {
    /// Clients of both versions, aimed at a region.
    fn on(node: &flyrpc::Node, region: &str) -> Self {
        let v1: v1::OrdersClient = node.client();
        let v2: v2::OrdersClient = node.client();
        load::Clients { v1: v1.on_region(region), v2: v2.on_region(region) }
    }
}
