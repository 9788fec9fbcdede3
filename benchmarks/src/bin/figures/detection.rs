//! Measures how long a failed node still receives calls, in a region with one more node.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use flyrpc::{NodeInfo, RpcError};
use flyrpc_examples::{process::Signal, show, text::TextClient};
use tokio::task::JoinSet;

use crate::{heading, row, start_here, start_node};

/// Time between two calls.
const PERIOD: Duration = Duration::from_millis(2);

/// Timeout of each call.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The result of a run.
struct Run {
    /// Time from the signal to the start of the last call that failed on the node.
    last: Duration,
    /// Number of calls that failed on the node.
    lost: usize,
}

pub(crate) async fn killed() -> Result<(), Box<dyn Error>> {
    heading("One of two nodes of a region is killed (SIGKILL), 500 calls/s; 5 runs");
    runs(5, Signal::KILL, Duration::from_secs(1)).await
}

pub(crate) async fn frozen() -> Result<(), Box<dyn Error>> {
    heading("One of two nodes of a region is frozen (SIGSTOP), 500 calls/s; 3 runs");
    runs(3, Signal::STOP, Duration::from_secs(6)).await
}

async fn runs(count: usize, signal: Signal, watch: Duration) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    let mut lost = 0;
    for _ in 0..count {
        let run = run(signal, watch).await?;
        times.push(run.last);
        lost = lost.max(run.lost);
    }
    let worst = times.iter().max().copied().unwrap_or_default();
    row("time until it receives no more calls, median", time(show::median(&mut times)));
    row("time until it receives no more calls, worst", time(worst));
    row("calls lost, worst", lost);
    Ok(())
}

/// Formats the time until the last lost call. Its resolution is the time between two calls.
fn time(last: Duration) -> String {
    if last < PERIOD { format!("< {}", show::time(PERIOD)) } else { show::time(last) }
}

async fn run(signal: Signal, watch: Duration) -> Result<Run, Box<dyn Error>> {
    let (_one, one) = start_node("hkg-1", "").await?;
    let seed = one.addr().to_string();
    let (victim, info) = start_node("hkg-2", &seed).await?;
    let node = start_here(&format!("{seed},{}", info.addr())).await?;
    let mut events = node.events();
    while node.nodes_in("hkg").len() < 2 {
        events.next().await;
    }
    let text: TextClient = node.client();
    let hkg = text.on_region("hkg").timeout(TIMEOUT);
    // Calls to both nodes before the signal, so that both links have been in use.
    calls(&hkg, &info, Instant::now(), Duration::from_millis(500)).await;
    victim.signal(signal)?;
    let run = calls(&hkg, &info, Instant::now(), watch).await;
    node.shutdown().await;
    Ok(run)
}

/// Makes calls for `watch`. They are not idempotent, so every call that the `victim` received but did not
/// complete fails.
async fn calls(text: &TextClient, victim: &NodeInfo, start: Instant, watch: Duration) -> Run {
    let mut calls = JoinSet::new();
    let mut ticks = tokio::time::interval(PERIOD);
    while start.elapsed() < watch {
        ticks.tick().await;
        let (call, at) = (text.slow(Duration::ZERO), start.elapsed());
        calls.spawn(async move { (at, call.await) });
    }
    let results: Vec<(Duration, Result<Duration, RpcError>)> = calls.join_all().await;
    let lost = results.into_iter().filter_map(|(at, result)| Some((at, result.err()?)));
    let lost: Vec<Duration> = lost
        .filter(|(_, error)| error.node().is_some_and(|node| node.id() == victim.id()))
        .map(|(at, _)| at)
        .collect();
    Run { last: lost.iter().max().copied().unwrap_or_default(), lost: lost.len() }
}
