//! Attacks a sealed cluster without its secret, and checks that nothing happens. Exits with 1 if anything does.
//!
//! ```text
//! cargo run --release --package flyrpc-tests --bin attacker
//! cargo run --release --package flyrpc-tests --bin attacker -- --strangers
//! ```
//!
//! Five nodes in separate processes form a cluster, and a sixth one, the member, calls them and measures the latency. The
//! attacker reaches all of them by TCP and UDP, and listens at addresses that they dial, such as that of a node that was
//! killed. It may use a tenth of a core.
//!
//! - It has recorded both ends of connections, and datagrams, of three clusters: the attacked one, one with another secret
//!   and the same key id, and one with the same secret and another name. Some of the recorded links are still open.
//! - It repeats them in three orders, and with changes. It forges gossip and hellos that nodes without a secret would
//!   accept, with the names, addresses and boots of members, and with invalid ones. Hellos are open, or sealed with another
//!   key, and bursts of calls follow some of them. It also runs nodes without a secret and with another one.
//! - No call of the attacker may execute, and no other call twice. No link may end, no membership event may occur, and
//!   nothing may be sent to an address that only the attacker names. The p99 of the member may be at most three times as long
//!   as without the attack.
//!
//! Before that, the program checks that the attacks have an effect on nodes without a secret, and that sealed hellos have one
//! if they are sealed with the key of the nodes.
//!
//! With `--strangers`, the attacker only opens 1,000 connections and sends 10,000 junk datagrams per second to one node
//! (`--reached` for more), at the lowest priority. The program then also checks how many connections, and how much
//! memory and processor time, they cost a node. For comparison, it prints how much they cost a bare listener, which reads
//! from each connection once.

mod attacks;
mod cluster;
mod connection;
mod control;
mod gossip;
mod hellos;
mod impostor;
mod load;
mod node;
mod noise;
mod plan;
mod recording;
mod reports;
mod strangers;

use std::{
    error::Error,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use flyrpc_tests::replay_order::Order;

use crate::{
    attacks::Attempts,
    cluster::Cluster,
    load::{Latencies, Member},
    node::{Attacker, NodeProcess, Report},
    reports::{Checks, Reports},
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Attacks a sealed cluster without its secret.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    /// Seconds of the attack.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// The seed of the random order in which the attacker repeats what it has recorded.
    #[arg(long)]
    seed: Option<u64>,
    /// Attack with strangers only.
    #[arg(long)]
    strangers: bool,
    /// Connections of strangers per second.
    #[arg(long, default_value_t = 1_000)]
    connections: u64,
    /// Datagrams of strangers per second.
    #[arg(long, default_value_t = 10_000)]
    datagrams: u64,
    /// The number of nodes that strangers reach.
    #[arg(long, requires = "strangers", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=NODES as i64))]
    reached: u8,
}

impl Cli {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// The roles of child processes.
#[derive(Debug, Subcommand)]
enum Role {
    /// A node under attack.
    #[command(hide = true)]
    Node {
        name: String,
        #[arg(long)]
        at_killed: Option<SocketAddr>,
        seeds: Vec<SocketAddr>,
    },
    /// A bare listener.
    #[command(hide = true)]
    Bare,
    /// The attacker, which reads its recording from standard input.
    #[command(hide = true)]
    Attacker { targets: Vec<SocketAddr> },
    /// The strangers.
    #[command(hide = true)]
    Strangers { connections: u64, datagrams: u64, targets: Vec<SocketAddr> },
}

/// The calls of the member have numbers from this one on. Nobody may make calls with lower numbers once the recording is
/// complete.
const MEMBER_CALLS: u64 = 1 << 32;

const NODES: usize = 5;

/// Upper bound on the time of the program, apart from the attack.
const MAX_TIME: Duration = Duration::from_secs(600);

/// Time for connections to close and buffers to be freed.
const SETTLING: Duration = Duration::from_secs(6);

/// Bounds of the figures.
const MAX_SLOWDOWN: f64 = 3.0;
const MAX_SHARE: f64 = 0.1;
const MAX_OPEN: usize = 128;
const MAX_MEMORY_KIB: u64 = 16 << 10;
const MAX_MICROS_PER_STRANGER: f64 = 50.0;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.role {
        None => run(&cli).await,
        Some(Role::Node { name, at_killed, seeds }) => {
            node::run(&name, at_killed, seeds).await.map(|()| true)
        }
        Some(Role::Bare) => node::run_bare().await.map(|()| true),
        Some(Role::Attacker { targets }) => attacks::run(&targets).await.map(|()| true),
        Some(Role::Strangers { connections, datagrams, targets }) => {
            strangers::run(&targets, connections, datagrams).map(|()| true)
        }
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("attacker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether nothing happened and all figures are within their bounds.
async fn run(cli: &Cli) -> Result<bool> {
    let run = async {
        match cli.strangers {
            false => run_attacker(cli).await,
            true => run_strangers(cli).await,
        }
    };
    tokio::time::timeout(MAX_TIME + 4 * cli.time(), run).await?
}

async fn run_attacker(cli: &Cli) -> Result<bool> {
    let seed = cli.seed.unwrap_or_else(|| RandomState::new().hash_one(()) >> 32);
    println!("the seed of the random order is {seed}");
    let mut checks = Checks(control::run(seed).await?);
    let mut cluster = Cluster::start_recorded().await?;
    let member = Member::start(&cluster.addrs, None).await?;
    member.load(cli.time() / 10).await?;
    let quiet = member.load(cli.time() / 2).await?;
    let plan = cluster.plan(&member.node, seed);
    println!("recorded {}", plan.recording);
    let before = Reports::collect(&mut cluster.nodes)?;
    let ended = cluster.ended_links_of_witness();
    let attacker = Attacker::start(None, &cluster.addrs, Some(&plan))?;
    let attacked = member.load(cli.time()).await?;
    let attempts = attacker.stop()?;
    println!("{attempts}");
    tokio::time::sleep(SETTLING).await;
    let after = Reports::collect(&mut cluster.nodes)?;
    let ended = cluster.ended_links_of_witness() - ended;
    check_nothing_happened(&mut checks, &before, &after);
    checks.check("links that ended at the witness", ended as f64, 0.0);
    checks.check("calls of the attacker that succeeded", attempts.succeeded as f64, 0.0);
    checks.check("replies to calls of the attacker", attempts.replies as f64, 0.0);
    checks.check("datagrams to a foreign address", attempts.reflected as f64, 0.0);
    let missing = Order::all(seed).len().saturating_sub(attempts.rounds as usize);
    checks.check("orders in which it did not repeat all", missing as f64, 0.0);
    let all = (attempts.connections + attempts.not_accepted).max(1);
    let not_accepted = attempts.not_accepted as f64 / all as f64;
    checks.check("share of connections not accepted", not_accepted, 0.05);
    checks.check("answers that a node did not receive", attempts.missing_answers as f64, 0.0);
    checks.check("share of a core of the attacker", attempts.share, MAX_SHARE);
    check_latencies(&mut checks, &attacked, &quiet);
    Ok(checks.0)
}

async fn run_strangers(cli: &Cli) -> Result<bool> {
    let Cluster { mut nodes, addrs, .. } = Cluster::start()?;
    let reached = &addrs[..cli.reached.into()];
    // The member calls the node that strangers reach, if it is the only one.
    let member = Member::start(&addrs, (cli.reached == 1).then_some(addrs[0])).await?;
    member.load(cli.time() / 10).await?;
    let start = Reports::collect(&mut nodes)?;
    let quiet = member.load(cli.time() / 2).await?;
    tokio::time::sleep(SETTLING).await;
    let before = Reports::collect(&mut nodes)?;
    // The processor time of the nodes while the member calls for this time.
    let quiet_micros = before.cpu_micros_since(&start);

    let attacker = Attacker::start(Some([0, cli.datagrams]), reached, None)?;
    member.load(cli.time() / 2).await?;
    let micros = Reports::collect(&mut nodes)?.cpu_micros_since(&before) - quiet_micros;
    let per_datagram = micros / attacker.stop()?.datagrams as f64;
    tokio::time::sleep(SETTLING).await;

    let before = Reports::collect(&mut nodes)?;
    let attacker = Attacker::start(Some([cli.connections, cli.datagrams]), reached, None)?;
    let (attacked, most_open) = load_and_watch(&member, &mut nodes, cli.time()).await?;
    let during = Reports::collect(&mut nodes)?;
    let attempts = attacker.stop()?;
    let Attempts { connections, datagrams, .. } = attempts;
    println!("opened {connections} connections and sent {datagrams} datagrams");
    tokio::time::sleep(SETTLING).await;
    let after = Reports::collect(&mut nodes)?;
    let mut checks = Checks(true);
    check_nothing_happened(&mut checks, &before, &after);
    check_latencies(&mut checks, &attacked, &quiet);
    checks.check("most connections of strangers", most_open as f64, MAX_OPEN as f64);
    let memory = during.most_memory_more_than(&before);
    checks.check("KiB of memory at the peak", memory as f64, MAX_MEMORY_KIB as f64);
    // The member calls at the same pace in all windows. This one is twice as long as those before.
    let micros = during.cpu_micros_since(&before) - 2.0 * quiet_micros;
    check_strangers(&mut checks, cli, &attempts, micros - per_datagram * attempts.datagrams as f64);
    println!("us of a node per datagram {per_datagram:.2}");
    drop((nodes, member));
    println!("us of a bare listener per connection {:.2}", bare(cli, cli.time() / 2).await?);
    Ok(checks.0)
}

/// Calls for some time. Returns the latencies, and the largest increase of the connections of a node.
async fn load_and_watch(
    member: &Member,
    nodes: &mut [NodeProcess],
    time: Duration,
) -> Result<(Latencies, u64)> {
    let before = Reports::collect(nodes)?;
    let mut most_open = 0;
    let load = member.load(time);
    tokio::pin!(load);
    loop {
        tokio::select! {
            attacked = &mut load => return Ok((attacked?, most_open)),
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                most_open = most_open.max(Reports::collect(nodes)?.most_files_more_than(&before));
            }
        }
    }
}

/// Checks that strangers attacked at their rates, and the processor time that their connections cost the nodes.
fn check_strangers(checks: &mut Checks, cli: &Cli, attempts: &Attempts, connection_micros: f64) {
    let missing = |sent: u64, rate: u64| (1.0 - sent as f64 / (rate * cli.seconds) as f64).max(0.0);
    let not_opened = missing(attempts.connections, cli.connections);
    checks.check("share of connections not opened", not_opened, 0.05);
    let not_sent = missing(attempts.datagrams, cli.datagrams);
    checks.check("share of datagrams not sent", not_sent, 0.05);
    let per_connection = connection_micros / attempts.connections as f64;
    checks.check("us of a node per connection", per_connection, MAX_MICROS_PER_STRANGER);
}

/// Checks that no call of the attacker was executed, and that no node observed a change.
fn check_nothing_happened(checks: &mut Checks, before: &Reports, after: &Reports) {
    let increase = |field: fn(&Report) -> u64| (after.sum(field) - before.sum(field)) as f64;
    checks.check("calls that nobody made", increase(|report| report.foreign), 0.0);
    checks.check("calls that executed twice", increase(|report| report.repeated), 0.0);
    checks.check("links that ended", increase(|report| report.links_closed), 0.0);
    checks.check("links that opened", increase(|report| report.links_opened), 0.0);
    checks.check("membership events", increase(|report| report.events), 0.0);
    checks.check("panics", increase(|report| report.panics), 0.0);
}

fn check_latencies(checks: &mut Checks, attacked: &Latencies, quiet: &Latencies) {
    checks.check("calls of the member that failed", attacked.failed as f64, 0.0);
    println!("p50 {:.3} ms, without the attack {:.3} ms", attacked.p50, quiet.p50);
    println!("p99 {:.3} ms, without the attack {:.3} ms", attacked.p99, quiet.p99);
    checks.check("p99 over p99 without the attack", attacked.p99 / quiet.p99, MAX_SLOWDOWN);
}

/// Returns the processor time of bare listeners per connection, in microseconds.
async fn bare(cli: &Cli, time: Duration) -> Result<f64> {
    let mut listeners =
        (0..cli.reached).map(|_| NodeProcess::start_bare()).collect::<Result<Vec<_>>>()?;
    let addrs: Vec<SocketAddr> = listeners.iter().map(|listener| listener.identity.addr).collect();
    let before = Reports::collect(&mut listeners)?;
    let attacker = Attacker::start(Some([cli.connections, 0]), &addrs, None)?;
    tokio::time::sleep(time).await;
    let micros = Reports::collect(&mut listeners)?.cpu_micros_since(&before);
    Ok(micros / attacker.stop()?.connections as f64)
}
