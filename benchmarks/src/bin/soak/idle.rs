//! The processor time of a node that is linked to many others and makes no calls.

use std::{error::Error, fs, io, net::SocketAddr, time::Duration};

use flyrpc::{Node, PeerState};
use flyrpc_examples::process::{Child, Signal, announcement, parse_announcement};
use rustix::{
    param::clock_ticks_per_second,
    process::{Resource, Rlimit, getrlimit, set_parent_process_death_signal, setrlimit},
};
use tokio::time::{sleep, timeout};

/// Upper bound on the share of a core that the node uses, in percent.
const MAX_PERCENT: f64 = 1.0;

/// Time after the last link has opened, in which the nodes finish syncing.
const SETTLE: Duration = Duration::from_secs(10);

const GENEROUS_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    /// Number of links.
    #[arg(long, default_value_t = 100)]
    links: usize,
    /// Duration of the measurement, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// The nodes of one child process.
#[derive(Debug, clap::Args)]
pub(crate) struct Nodes {
    #[arg(long)]
    count: usize,
    /// Number of links of the first node after which the process reports that it is linked.
    #[arg(long)]
    links: usize,
    #[arg(long)]
    seed: Option<SocketAddr>,
}

/// Measures a node in one process that is linked to `flags.links` nodes in another. Returns whether it uses
/// at most [`MAX_PERCENT`] of a core.
pub(crate) async fn measure(flags: &Flags) -> Result<bool, Box<dyn Error>> {
    let Flags { links, seconds } = *flags;
    let start = |count: usize, seed: Option<SocketAddr>| {
        let (count, links) = (count.to_string(), links.to_string());
        let mut args = vec!["idle-nodes".into(), "--count".into(), count, "--links".into(), links];
        args.extend(seed.into_iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]));
        Child::spawn(args, true)
    };
    let mut measured = start(1, None)?;
    let line = measured.line().await?;
    let first = parse_announcement(&line).ok_or_else(|| format!("a node printed {line:?}"))?;
    let _others = start(links, Some(first.addr()))?;
    timeout(GENEROUS_TIMEOUT, measured.line())
        .await
        .map_err(|_| format!("the node has not opened {links} links in {GENEROUS_TIMEOUT:?}"))??;
    sleep(SETTLE).await;
    let pid = measured.pid().ok_or("the node's process has exited")?;
    while let Ok(line) = timeout(Duration::ZERO, measured.line()).await {
        line?;
    }
    let before = processor_seconds(pid)?;
    let change = timeout(Duration::from_secs(seconds), measured.line()).await;
    let percent = 100.0 * (processor_seconds(pid)? - before) / seconds as f64;
    if let Ok(change) = change {
        return Err(
            format!("the machine is too busy, because {:?} while nothing ran", change?).into()
        );
    }
    let ok = percent <= MAX_PERCENT;
    let verdict = if ok { "ok" } else { "MISSED" };
    println!("an idle node with {links} links uses {percent:.2} % of a core: {verdict}");
    Ok(ok)
}

/// Returns the processor time of a process so far, in user and kernel mode.
fn processor_seconds(pid: u32) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program, in parentheses, is the second field, and may contain spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / clock_ticks_per_second() as f64)
}

/// Runs nodes until the parent exits.
pub(crate) async fn run(nodes: Nodes) -> Result<std::convert::Infallible, Box<dyn Error>> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let mut running = Vec::new();
    let mut seeds: Vec<SocketAddr> = nodes.seed.into_iter().collect();
    for at in 0..nodes.count {
        let name = format!("{}-{at}", if nodes.seed.is_none() { "measured" } else { "idle" });
        let node = Node::builder().name(name).region("iad").seeds(seeds.clone()).start().await?;
        if seeds.is_empty() {
            seeds.push(node.addr());
        }
        running.push(node);
    }
    println!("{}", announcement(running[0].info()));
    let links = || {
        let peers = running[0].peers();
        peers.iter().filter(|peer| peer.state == PeerState::Linked).count()
    };
    while links() < nodes.links {
        sleep(Duration::from_millis(100)).await;
    }
    println!("linked");
    let mut events = running[0].events();
    while let Some(event) = events.next().await {
        println!("{event:?}");
    }
    Err("the first node has ended".into())
}
