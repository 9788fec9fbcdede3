//! Attacks a sealed cluster without its secret, and checks that nothing happens. Exits with 1 if anything does.
//!
//! ```text
//! cargo run --release --package flyrpc-tests --bin attacker
//! cargo run --release --package flyrpc-tests --bin attacker -- --strangers
//! ```
//!
//! Five nodes in separate processes form a cluster, and a sixth one, the member, calls them and measures the latency. The
//! attacker reaches all of them by TCP and UDP. It has recorded connections and datagrams of the cluster, which it sends
//! again, also with changes. It forges gossip and links that nodes without a secret would accept, with the names, addresses
//! and boots of members. It also runs nodes without a secret and with another one. It uses at most a tenth of a core. No
//! call may execute that the member did not make, or twice; no link may end, no membership event may occur, and nothing may
//! be sent to an address that only the attacker names; and the p99 of the member may be at most three times as long as
//! without the attack. For comparison, the program first checks that the forged gossip and links have an effect on nodes
//! without a secret.
//!
//! With `--strangers`, the attacker only opens 1,000 connections and sends 10,000 junk datagrams per second to one node
//! (`--reached` for more), at the lowest priority. The program then also checks how many connections, and how much
//! memory and processor time, they cost a node. For comparison, it prints how much they cost a bare listener, which reads
//! from each connection once.

mod attacks;
mod control;
mod gossip;
mod node;
mod recording;
mod strangers;

use std::{
    error::Error,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use flyrpc::Node;
use futures_util::future::join_all;

use crate::{
    node::{Attacker, NodeProcess, Report, TargetClient},
    recording::Recording,
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

/// The roles of child processes.
#[derive(Debug, Subcommand)]
enum Role {
    /// A node under attack.
    #[command(hide = true)]
    Node { name: String, seeds: Vec<SocketAddr> },
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

/// The secret of the cluster, and the secret of another one.
const SECRET: &str = "7468652073656372657420746861742061747461636b657273206c61636b2e2e";
const OTHER_SECRET: &str = "616e6f746865722073656372657420666f7220616e6f7468657220636c757374";

const NODES: usize = 5;

/// Concurrent calls of the member.
const CALLERS: usize = 4;

/// Time for connections to close and buffers to be freed.
const SETTLING: Duration = Duration::from_secs(6);

/// Bounds of the figures.
const MAX_SLOWDOWN: f64 = 3.0;
const MAX_OPEN: usize = 128;
const MAX_MEMORY_KIB: u64 = 16 << 10;
const MAX_MICROS_PER_STRANGER: f64 = 50.0;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.role {
        None => run(&cli).await,
        Some(Role::Node { name, seeds }) => node::run(name, seeds).await.map(|()| true),
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
    let mut ok = cli.strangers || control::run().await?;
    let mut nodes: Vec<NodeProcess> = Vec::new();
    for index in 0..NODES {
        let seeds: Vec<SocketAddr> = nodes.iter().map(|node| node.identity.addr).collect();
        nodes.push(NodeProcess::start(&format!("node-{index}"), &seeds)?);
    }
    let addrs: Vec<SocketAddr> = nodes.iter().map(|node| node.identity.addr).collect();
    let mut recording = Recording::record(&addrs).await?;
    println!("recorded {recording}");
    // Strangers reach one node by default. Then the member calls that one.
    let only = (cli.strangers && cli.reached == 1).then_some(addrs[0]);
    let member = Member::start(&addrs, only).await?;
    recording.members = nodes.iter().map(|node| node.identity.clone()).collect();
    recording.members.push(member.node.info().into());
    let time = Duration::from_secs(cli.seconds);
    member.load(time / 10).await?;

    let start = Reports::collect(&mut nodes)?;
    let quiet = member.load(time / 2).await?;
    tokio::time::sleep(SETTLING).await;
    let mut before = Reports::collect(&mut nodes)?;
    // The processor time of the nodes while the member calls for this time.
    let quiet_micros = before.cpu_micros_since(&start);
    let reached = if cli.strangers { &addrs[..cli.reached.into()] } else { &addrs[..] };
    let mut per_datagram = 0.0;
    if cli.strangers {
        let attacker = Attacker::start(Some([0, cli.datagrams]), reached, None)?;
        member.load(time / 2).await?;
        let micros = Reports::collect(&mut nodes)?.cpu_micros_since(&before) - quiet_micros;
        per_datagram = micros / attacker.stop()?.datagrams as f64;
        tokio::time::sleep(SETTLING).await;
        before = Reports::collect(&mut nodes)?;
    }
    let rates = cli.strangers.then_some([cli.connections, cli.datagrams]);
    let attacker = Attacker::start(rates, reached, Some(&recording))?;
    let mut most_open = 0;
    let attacked = {
        let load = member.load(time);
        tokio::pin!(load);
        loop {
            tokio::select! {
                attacked = &mut load => break attacked?,
                () = tokio::time::sleep(Duration::from_millis(500)) => {
                    most_open = most_open.max(Reports::collect(&mut nodes)?.most_files_more_than(&before));
                }
            }
        }
    };
    let during = Reports::collect(&mut nodes)?;
    let attempts = attacker.stop()?;
    println!("{attempts}");
    tokio::time::sleep(SETTLING).await;
    let after = Reports::collect(&mut nodes)?;

    let mut check = |what: &str, value: f64, at_most: f64| {
        let verdict = if value <= at_most { "ok" } else { "MISSED" };
        println!("{what:<34} {value:>10.2}   at most {at_most:>8.2}  {verdict}");
        ok &= value <= at_most;
    };
    let increase = |field: fn(&Report) -> u64| (after.sum(field) - before.sum(field)) as f64;
    check("calls that nobody made", increase(|report| report.foreign), 0.0);
    check("calls of the attacker that succeeded", attempts.succeeded as f64, 0.0);
    check("calls that executed twice", increase(|report| report.repeated), 0.0);
    check("links that ended", increase(|report| report.links_closed), 0.0);
    check("links that opened", increase(|report| report.links_opened), 0.0);
    check("membership events", increase(|report| report.events), 0.0);
    check("datagrams to a foreign address", attempts.reflected as f64, 0.0);
    check("calls of the member that failed", attacked.failed as f64, 0.0);
    println!("p50 {:.3} ms, without the attack {:.3} ms", attacked.p50, quiet.p50);
    println!("p99 {:.3} ms, without the attack {:.3} ms", attacked.p99, quiet.p99);
    check("p99 over p99 without the attack", attacked.p99 / quiet.p99, MAX_SLOWDOWN);
    if cli.strangers {
        let missing =
            |sent: u64, rate: u64| (1.0 - sent as f64 / (rate * cli.seconds) as f64).max(0.0);
        check(
            "share of connections not opened",
            missing(attempts.connections, cli.connections),
            0.05,
        );
        check("share of datagrams not sent", missing(attempts.datagrams, cli.datagrams), 0.05);
        check("most connections of strangers", most_open as f64, MAX_OPEN as f64);
        check(
            "KiB of memory at the peak",
            during.most_memory_more_than(&before) as f64,
            MAX_MEMORY_KIB as f64,
        );
        // The member calls at the same pace in all windows. This one is twice as long as those before.
        let micros = during.cpu_micros_since(&before) - 2.0 * quiet_micros;
        let connection_micros = micros - per_datagram * attempts.datagrams as f64;
        let per_connection = connection_micros / attempts.connections as f64;
        check("us of a node per connection", per_connection, MAX_MICROS_PER_STRANGER);
        println!("us of a node per datagram {per_datagram:.2}");
        drop((nodes, member));
        println!("us of a bare listener per connection {:.2}", bare(cli, time / 2).await?);
    }
    Ok(ok)
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

/// The reports of all nodes at one time.
struct Reports(Vec<Report>);

impl Reports {
    fn collect(nodes: &mut [NodeProcess]) -> Result<Self> {
        nodes.iter_mut().map(NodeProcess::report).collect::<Result<_>>().map(Reports)
    }

    fn sum(&self, field: fn(&Report) -> u64) -> u64 {
        self.0.iter().map(field).sum()
    }

    /// The processor time of all nodes.
    fn cpu_micros_since(&self, before: &Reports) -> f64 {
        let micros = |reports: &Reports| reports.sum(|report| report.cpu_micros);
        (micros(self) - micros(before)) as f64
    }

    /// The largest increase of the open files of a node.
    fn most_files_more_than(&self, before: &Reports) -> u64 {
        self.largest_increase(before, |report| report.files, |report| report.files)
    }

    /// The largest increase of the memory of a node, at its peak, in KiB.
    fn most_memory_more_than(&self, before: &Reports) -> u64 {
        self.largest_increase(before, |report| report.memory_kib, |report| report.peak_memory_kib)
    }

    fn largest_increase(
        &self,
        before: &Reports,
        from: fn(&Report) -> u64,
        to: fn(&Report) -> u64,
    ) -> u64 {
        let pairs = self.0.iter().zip(&before.0);
        pairs.map(|(now, before)| to(now).saturating_sub(from(before))).max().unwrap_or(0)
    }
}

/// The node that calls the others.
struct Member {
    node: Node,
    target: TargetClient,
    /// Makes the numbers of the calls unique.
    calls: Arc<AtomicU64>,
}

/// The measurements of the member. Latencies are in milliseconds.
struct Latencies {
    failed: usize,
    p50: f64,
    p99: f64,
}

impl Member {
    /// Starts the member, which calls all nodes, or `only` this one.
    async fn start(addrs: &[SocketAddr], only: Option<SocketAddr>) -> Result<Self> {
        let node = Node::builder().name("member").region("hkg").primary_region("iad");
        let node = node.secret(SECRET.parse()?).seeds(addrs).start().await?;
        node.ready().await;
        while node.nodes_in("iad").len() < NODES {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let target = node.client::<TargetClient>();
        let called = node.nodes().into_iter().find(|node| Some(node.addr()) == only);
        let target = match called {
            Some(node) => target.on_node(node.id()),
            None => target.on_region("iad"),
        };
        Ok(Member { node, target, calls: Arc::default() })
    }

    /// Calls for some time.
    async fn load(&self, time: Duration) -> Result<Latencies> {
        let end = Instant::now() + time;
        let callers = (0..CALLERS).map(|_| {
            let (target, calls) = (self.target.clone(), Arc::clone(&self.calls));
            tokio::spawn(async move {
                let (mut latencies, mut failed) = (Vec::new(), 0);
                while Instant::now() < end {
                    let (start, call) = (Instant::now(), calls.fetch_add(1, Ordering::Relaxed));
                    match target.run(MEMBER_CALLS + call).await {
                        Ok(()) => latencies.push(start.elapsed()),
                        Err(error) => {
                            eprintln!("a call of the member failed: {error}");
                            failed += 1;
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                (latencies, failed)
            })
        });
        let (mut latencies, mut failed) = (Vec::new(), 0);
        for caller in join_all(callers).await {
            let (of_one, failed_of_one) = caller?;
            latencies.extend(of_one);
            failed += failed_of_one;
        }
        latencies.sort();
        let at = |percent: usize| match latencies.get(latencies.len() * percent / 100) {
            Some(latency) => Ok(latency.as_secs_f64() * 1e3),
            None => Err("no call succeeded"),
        };
        Ok(Latencies { failed, p50: at(50)?, p99: at(99)? })
    }
}
