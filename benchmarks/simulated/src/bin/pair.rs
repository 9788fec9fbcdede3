//! Two nodes of one cluster in one thread, on the simulated network and in virtual time. Equal arguments
//! give equal runs, instruction for instruction.
//!
//! `pair <callers> <calls> <inline|task>` makes `calls` calls of `upcase("fly")`, divided evenly among
//! `callers` concurrent callers. Every handler runs inline, or in a separate task. The program prints
//! nothing: the workload `instructions` of the benchmark runs it under callgrind.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flyrpc::{Node, fly_rpc, unstable::InlineMode};
use flyrpc_testkit::{SimEnv, SimNet};
use tokio::{runtime, task::JoinSet};

/// Seed of the simulated network and of both nodes.
const SEED: u64 = 1;

/// Port of both nodes.
const PORT: u16 = 3590;

const SERVER: &str = "hkg";
const CLIENT: &str = "iad";

/// The shortest round trip that the simulated network supports. The less virtual time a call takes, the
/// fewer heartbeats are counted with it.
const ROUND_TRIP: Duration = Duration::from_millis(1);

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
}

struct Handlers;

impl Strings for Handlers {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [callers, calls, mode] = &args[..] else {
        bail!("usage: pair <callers> <calls> <inline|task>")
    };
    let mode = match mode.as_str() {
        "inline" => InlineMode::Always,
        "task" => InlineMode::Never,
        _ => bail!("`{mode}` is neither `inline` nor `task`"),
    };
    let callers = callers.parse().context("callers is not a number")?;
    let calls: u64 = calls.parse().context("calls is not a number")?;
    let runtime =
        runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(run(callers, calls, mode))
}

async fn run(callers: u64, calls: u64, mode: InlineMode) -> Result<()> {
    ensure!(callers > 0 && calls.is_multiple_of(callers), "{calls} calls for {callers} callers");
    let net = SimNet::builder().seed(SEED).rtt(SERVER, CLIENT, ROUND_TRIP).build();
    let hosts = [SERVER, CLIENT].map(|region| net.add_host(region, region));
    let server = start(&hosts, 0, mode).await?;
    let client = start(&hosts, 1, mode).await?;
    client.ready().await;
    ensure!(client.nodes_in(SERVER).len() == 1, "the nodes did not connect: {:?}", client.peers());

    let strings: StringsClient = client.client();
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let strings = strings.clone();
        running.spawn(async move {
            for _ in 0..calls / callers {
                let reply = strings.on_region(SERVER).upcase("fly".to_owned()).await?;
                ensure!(reply == "FLY", "upcase(\"fly\") returned {reply:?}");
            }
            Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    drop((client, server));
    Ok(())
}

/// Starts a node on host `at`, seeded with the first host.
async fn start(hosts: &[SimEnv], at: usize, mode: InlineMode) -> Result<Node> {
    let env = &hosts[at];
    let builder = Node::builder()
        .name(env.region().as_str())
        .region(env.region().clone())
        .primary_region(SERVER)
        .env(env.clone())
        .rng_seed(SEED + at as u64)
        .listen(env.addr(PORT))
        .seeds([hosts[0].addr(PORT)])
        .inline_mode(mode);
    let builder = if at == 0 { builder.serve(ServeStrings::new(Handlers)) } else { builder };
    Ok(builder.start().await?)
}
