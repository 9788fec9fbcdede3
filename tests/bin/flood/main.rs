//! Floods a node from one peer in several ways, one after the other. For each, prints the peak memory of
//! the node, and the success rate and latency of a well-behaved peer during the flood, next to the latency
//! without it. Exits with 1 if a figure misses its bound.
//!
//! ```text
//! cargo run --release --package flyrpc-tests --bin flood
//! ```
//!
//! The node, the peer and the attacker are separate processes, which are this program with an argument.
//! [`Scheduling`] describes which cores they run on, and why. Each attack has a new node. Its rounds alternate: the peer
//! calls without the attack, then with it.

mod attacks;
mod processes;
mod raw_link;

use std::{
    error::Error,
    io::BufRead,
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use flyrpc::{Node, fly_rpc};
use futures_util::future::join_all;
use serde_bytes::ByteBuf;

use crate::{
    attacks::{ATTACKS, Attack},
    processes::{Process, Scheduling},
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Measures the effects of floods on a node and on its other peers.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    /// Seconds of each attack in each round, and of the calls without it.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rounds of each attack.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only attacks whose names contain this text.
    #[arg(long, default_value = "")]
    only: String,
}

/// The roles of child processes.
#[derive(Debug, Subcommand)]
enum Role {
    /// The node under attack. Runs until standard input ends.
    #[command(hide = true)]
    Node,
    /// The well-behaved peer. Measures for each number of seconds that it reads from standard input.
    #[command(hide = true)]
    Peer { addr: SocketAddr },
    /// The attacker.
    #[command(hide = true)]
    Attacker { name: String, addr: SocketAddr },
}

#[fly_rpc]
trait Target {
    async fn echo(&self, body: ByteBuf) -> ByteBuf;
    async fn slow(&self, millis: u64);
    async fn large(&self, bytes: usize) -> ByteBuf;
}

#[derive(Debug)]
struct Server;

impl Target for Server {
    async fn echo(&self, body: ByteBuf) -> ByteBuf {
        body
    }

    async fn slow(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    async fn large(&self, bytes: usize) -> ByteBuf {
        ByteBuf::from(vec![7; bytes])
    }
}

/// Concurrent calls of the well-behaved peer.
const CALLERS: usize = 4;

/// Bounds of the figures. The memory is the default of `max_body_memory`, plus 32 MiB.
const MAX_PEAK_MIB: f64 = 256.0 + 32.0;
const MIN_SUCCESS_PERCENT: f64 = 99.9;
const MAX_SLOWDOWN: f64 = 3.0;

/// A time without a flood, in which the node ends what the flood has started.
const PAUSE: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match &cli.role {
        None => run(&cli),
        Some(Role::Node) => node().await.map(|()| true),
        Some(Role::Peer { addr }) => peer(*addr).await.map(|()| true),
        Some(Role::Attacker { name, addr }) => attacker(name, *addr).await.map(|()| true),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("flood: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures all attacks. Returns whether all figures are within their bounds.
fn run(cli: &Cli) -> Result<bool> {
    let scheduling = Scheduling::detect();
    match &scheduling {
        Some(scheduling) => println!("{scheduling}"),
        None => println!("the processes share all cores, so latencies include waiting for a core"),
    }
    println!(
        "{:<14} {:>9} {:>8} {:>9} {:>8} {:>8} {:>8} {:>8}",
        "attack", "peak MiB", "calls", "success", "p50 ms", "p99 ms", "p50 quiet", "p99 quiet"
    );
    let mut ok = true;
    for attack in ATTACKS.iter().filter(|attack| attack.name.contains(&cli.only)) {
        ok &= measure(attack, cli, scheduling.as_ref())?;
    }
    Ok(ok)
}

fn measure(attack: &Attack, cli: &Cli, scheduling: Option<&Scheduling>) -> Result<bool> {
    let (node, addr) = Process::node(scheduling)?;
    let mut peer = Process::peer(scheduling, addr)?;
    let (mut quiet, mut flooded) = (Vec::new(), Vec::new());
    peer.measure(0.5)?;
    for _ in 0..cli.rounds {
        std::thread::sleep(PAUSE);
        quiet.push(peer.measure(cli.seconds)?);
        let _attacker = Process::attacker(scheduling, attack.name, addr)?;
        flooded.push(peer.measure(cli.seconds)?);
    }
    let (quiet, flooded, peak) = (Figures::median(&quiet), Figures::median(&flooded), node.peak()?);
    let misses = misses(&quiet, &flooded, peak);
    let verdict = if misses.is_empty() { "ok".to_owned() } else { format!("MISSED {misses}") };
    println!(
        "{:<14} {peak:>9.1} {:>8} {:>8.2}% {:>8.3} {:>8.3} {:>9.3} {:>9.3}  {verdict}",
        attack.name,
        flooded.calls,
        flooded.success(),
        flooded.p50,
        flooded.p99,
        quiet.p50,
        quiet.p99
    );
    Ok(misses.is_empty())
}

fn misses(quiet: &Figures, flooded: &Figures, peak: f64) -> String {
    let mut misses = Vec::new();
    if peak > MAX_PEAK_MIB {
        misses.push(format!("peak memory {peak:.0} MiB > {MAX_PEAK_MIB} MiB"));
    }
    let success = flooded.success();
    if success < MIN_SUCCESS_PERCENT {
        misses.push(format!("success {success:.2} % < {MIN_SUCCESS_PERCENT} %"));
    }
    let slowdown = flooded.p99 / quiet.p99;
    if slowdown > MAX_SLOWDOWN {
        misses.push(format!("p99 {slowdown:.1} x > {MAX_SLOWDOWN} x"));
    }
    misses.join(", ")
}

/// The measurements of the well-behaved peer. Latencies are in milliseconds.
#[derive(Debug, Default, Clone)]
struct Figures {
    calls: usize,
    failed: usize,
    p50: f64,
    p99: f64,
}

impl Figures {
    fn new(mut latencies: Vec<Duration>, failed: usize) -> Result<Self> {
        latencies.sort();
        let calls = latencies.len() + failed;
        if latencies.is_empty() {
            return Err(format!("none of {calls} calls succeeded").into());
        }
        let at = |percent: usize| latencies[latencies.len() * percent / 100].as_secs_f64() * 1e3;
        Ok(Figures { calls, failed, p50: at(50), p99: at(99) })
    }

    fn success(&self) -> f64 {
        100.0 * (self.calls - self.failed) as f64 / self.calls as f64
    }

    /// Returns all calls of the rounds, and the medians of their latencies.
    fn median(rounds: &[Figures]) -> Self {
        let median = |figure: fn(&Figures) -> f64| {
            let mut all: Vec<_> = rounds.iter().map(figure).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        Figures {
            calls: rounds.iter().map(|round| round.calls).sum(),
            failed: rounds.iter().map(|round| round.failed).sum(),
            p50: median(|round| round.p50),
            p99: median(|round| round.p99),
        }
    }

    fn line(&self) -> String {
        format!("{} {} {} {}", self.calls, self.failed, self.p50, self.p99)
    }

    fn parse(line: &str) -> Result<Self> {
        let words: Vec<_> = line.split(' ').collect();
        let [calls, failed, p50, p99] = words[..] else {
            return Err(format!("the peer printed {line:?}").into());
        };
        let (calls, failed) = (calls.parse()?, failed.parse()?);
        Ok(Figures { calls, failed, p50: p50.parse()?, p99: p99.parse()? })
    }
}

async fn node() -> Result<()> {
    let builder = Node::builder().name("node").region("iad").serve(ServeTarget::new(Server));
    let node = builder.start().await?;
    println!("{}", node.addr());
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}

async fn peer(addr: SocketAddr) -> Result<()> {
    let peer = Node::builder().name("peer").region("hkg").seeds([addr]).start().await?;
    peer.ready().await;
    let target = peer.client::<TargetClient>().on_region("iad");
    target.wait(Duration::from_secs(5)).echo(ByteBuf::new()).await?;
    println!("ready");
    loop {
        let line = tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().next());
        let Some(line) = line.await? else { return Ok(()) };
        let end = Instant::now() + Duration::from_secs_f64(line?.trim().parse()?);
        let callers = (0..CALLERS).map(|_| tokio::spawn(call_until(target.clone(), end)));
        let (mut latencies, mut failed) = (Vec::new(), 0);
        for caller in join_all(callers).await {
            let (of_one, failed_of_one) = caller?;
            latencies.extend(of_one);
            failed += failed_of_one;
        }
        println!("{}", Figures::new(latencies, failed)?.line());
    }
}

/// Calls until `end`. Returns the latencies of the calls that succeeded, and the number of those that
/// failed.
async fn call_until(target: TargetClient, end: Instant) -> (Vec<Duration>, usize) {
    let (mut latencies, mut failed) = (Vec::new(), 0);
    while Instant::now() < end {
        let start = Instant::now();
        match target.echo(ByteBuf::from(*b"hello")).await {
            Ok(_) => latencies.push(start.elapsed()),
            Err(_) => failed += 1,
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (latencies, failed)
}

/// Attacks until the process is killed.
async fn attacker(name: &str, addr: SocketAddr) -> Result<()> {
    let attack = ATTACKS.iter().find(|attack| attack.name == name).ok_or("unknown attack")?;
    let links = (0..attack.connections).map(|_| {
        tokio::spawn(async move {
            loop {
                // The node may end the link. The attacker then reconnects.
                let _ = (attack.run)(addr).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    });
    join_all(links).await;
    Ok(())
}
