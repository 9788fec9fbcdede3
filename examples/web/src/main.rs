//! Replaces web servers in two regions one by one, under load. Each server runs a node.

mod client;
mod metrics;
mod proxy;
mod server;

use std::{
    collections::BTreeMap,
    error::Error,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use flyrpc_examples::{
    flags::{self, NodeFlags},
    process::{Child, Signal, parse_announcement},
    show,
};
use tokio::task::JoinHandle;

use self::proxy::Proxy;

/// Upper bound on the time of the whole run.
const DEADLINE: Duration = Duration::from_secs(90);

/// The regions, the primary first.
const REGIONS: [&str; 2] = ["iad", "fra"];

/// Number of machines in each region.
const MACHINES: usize = 2;

/// Replaces web servers that call each other through flyrpc, one by one, under load.
///
/// Two machines run in each of two regions, in their own processes, on free ports of loopback. GET
/// requests are served in the region of the machine, and POST requests write in the primary region. On
/// SIGTERM, a machine first reports that it is unhealthy, then completes the requests that it has
/// received, and then shuts its node down. Exits with 0 if no request failed.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Flags {
    /// Prints the logs of all nodes to standard error, filtered by RUST_LOG.
    #[arg(long)]
    logs: bool,
    #[command(subcommand)]
    child: Option<Process>,
}

/// The kinds of child processes.
#[derive(Debug, Subcommand)]
enum Process {
    /// A machine of the application.
    #[command(hide = true)]
    Machine {
        /// Address to listen on for HTTP.
        #[arg(long)]
        http: SocketAddr,
        #[command(flatten)]
        node: NodeFlags,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    flags::log(if flags.logs || flags.child.is_some() { "info" } else { "off" });
    let run = async {
        match flags.child {
            None => tokio::time::timeout(DEADLINE, deploy(flags.logs)).await?,
            Some(Process::Machine { http, node }) => server::run(http, node).await.map(|()| true),
        }
    };
    match run.await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("web: {}", show::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// One machine of the application, which is killed when this is dropped.
struct Machine {
    name: String,
    child: Child,
    http: SocketAddr,
    node: SocketAddr,
}

impl Machine {
    async fn start(
        name: &str,
        http: SocketAddr,
        node: SocketAddr,
        seeds: &[SocketAddr],
        logs: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let region = name.split('-').next().expect("a split has a first part");
        let (http, node) = (http.to_string(), node.to_string());
        let mut args = vec!["machine", "--http", &http, "--listen", &node];
        args.extend(["--name", name, "--region", region, "--primary-region", REGIONS[0]]);
        let seeds: Vec<String> = seeds.iter().map(SocketAddr::to_string).collect();
        args.extend(seeds.iter().flat_map(|seed| ["--seed", seed.as_str()]));
        let mut child = Child::spawn(args, logs)?;
        let line = child.line().await?;
        let parsed = line.strip_prefix("http=").and_then(|line| line.split_once(' '));
        let unexpected = || format!("a machine printed {line:?} instead of its addresses");
        let (http, node) = parsed.ok_or_else(unexpected)?;
        let node = parse_announcement(node).ok_or_else(unexpected)?;
        Ok(Machine { name: name.to_owned(), child, http: http.parse()?, node: node.addr() })
    }
}

/// All machines, and a proxy for each region.
struct Deploy {
    machines: Vec<Machine>,
    proxies: BTreeMap<&'static str, Proxy>,
    logs: bool,
}

impl Deploy {
    async fn start(logs: bool) -> Result<Self, Box<dyn Error>> {
        let free: SocketAddr = ([127, 0, 0, 1], 0).into();
        let proxies = REGIONS.map(|region| (region, Proxy::default())).into();
        let mut deploy = Deploy { machines: Vec::new(), proxies, logs };
        for region in REGIONS {
            for at in 1..=MACHINES {
                let name = format!("{region}-{at}");
                let seeds = deploy.nodes_but(free);
                let machine = Machine::start(&name, free, free, &seeds, logs).await?;
                deploy.proxies[region].add(machine.http).await?;
                deploy.machines.push(machine);
            }
        }
        Ok(deploy)
    }

    /// Shuts down a machine (SIGTERM), and starts another at the same addresses.
    async fn replace(&mut self, at: usize) -> Result<(), Box<dyn Error>> {
        let machine = &mut self.machines[at];
        let start = Instant::now();
        machine.child.signal(Signal::TERM)?;
        let status = machine.child.ended().await?;
        if !status.success() {
            return Err(format!("{} failed: {status}", machine.name).into());
        }
        let ended = start.elapsed();
        let (name, http, node) = (machine.name.clone(), machine.http, machine.node);
        let proxy = &self.proxies[name.split('-').next().expect("a split has a first part")];
        proxy.until(http, false).await?;
        let seeds = self.nodes_but(node);
        self.machines[at] = Machine::start(&name, http, node, &seeds, self.logs).await?;
        proxy.until(http, true).await?;
        let healthy = start.elapsed() - ended;
        eprintln!("  {name}: exited after {ended:.0?}, healthy again {healthy:.0?} later");
        Ok(())
    }

    fn nodes_but(&self, but: SocketAddr) -> Vec<SocketAddr> {
        self.machines.iter().map(|machine| machine.node).filter(|node| *node != but).collect()
    }
}

/// Starts all machines, and replaces each of them under load. Returns true if no request failed.
async fn deploy(logs: bool) -> Result<bool, Box<dyn Error>> {
    let mut deploy = Deploy::start(logs).await?;
    let (start, over) = (Instant::now(), Arc::<AtomicBool>::default());
    let proxies = deploy.proxies.iter();
    let callers: Vec<_> =
        proxies.flat_map(|(region, proxy)| callers(region, proxy, &over)).collect();
    for at in 0..deploy.machines.len() {
        deploy.replace(at).await?;
    }
    over.store(true, Ordering::Relaxed);

    let count = deploy.machines.len();
    println!("{count} machines replaced in {}\n", show::time(start.elapsed()));
    println!("  {:<34}{:>9}{:>8}{:>13}", "requests", "succeeded", "failed", "longest gap");
    let mut kept = true;
    for caller in callers {
        let tally = caller.await?;
        kept &= tally.failed.is_empty() && tally.succeeded > 0;
        println!("{tally}");
    }
    Ok(kept)
}

/// The outcomes of the requests of one caller.
struct Tally {
    what: String,
    succeeded: usize,
    failed: Vec<String>,
    longest_gap: Duration,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (gap, failed) = (show::time(self.longest_gap), self.failed.len());
        write!(f, "  {:<34}{:>9}{failed:>8}{gap:>13}", self.what, self.succeeded)?;
        self.failed.iter().take(3).try_for_each(|why| write!(f, "\n    failed: {why}"))
    }
}

/// Starts callers that read and write in one region, with and without keep-alive.
fn callers(region: &str, proxy: &Proxy, over: &Arc<AtomicBool>) -> Vec<JoinHandle<Tally>> {
    let mut callers = Vec::new();
    for writes in [false, true] {
        for keep in [false, true] {
            let verb = if writes { "POST" } else { "GET" };
            let connections = if keep { "keep-alive" } else { "new connections" };
            let what = format!("{verb} in {region}, {connections}");
            // A write executes in the primary region, whichever machine received the request.
            let expected_region = if writes { REGIONS[0] } else { region }.to_owned();
            let (proxy, over) = (proxy.clone(), Arc::clone(over));
            callers.push(tokio::spawn(call(what, expected_region, writes, keep, proxy, over)));
        }
    }
    callers
}

/// Sends one request after another until `over` is set.
async fn call(
    what: String,
    expected_region: String,
    writes: bool,
    keep: bool,
    proxy: Proxy,
    over: Arc<AtomicBool>,
) -> Tally {
    let mut tally = Tally { what, succeeded: 0, failed: Vec::new(), longest_gap: Duration::ZERO };
    let (mut last, mut kept, mut number) = (Instant::now(), None, 0usize);
    while !over.load(Ordering::Relaxed) {
        number += 1;
        let text = "x".repeat(number % 50);
        let (path, body) = match writes {
            true => ("/notes".to_owned(), Some(text.as_str())),
            false => (format!("/notes/{number}"), None),
        };
        match proxy.request(&path, body, keep, kept.take()).await {
            Ok(response) if response.status == 200 && response.body.ends_with(&expected_region) => {
                tally.succeeded += 1;
                tally.longest_gap = tally.longest_gap.max(last.elapsed());
                (last, kept) = (Instant::now(), response.kept);
            }
            Ok(response) => tally.failed.push(format!("{} {}", response.status, response.body)),
            Err(error) => tally.failed.push(error.to_string()),
        }
    }
    tally
}
