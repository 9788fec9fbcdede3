//! How long a node that does not answer any more is still called, beside one that does.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use flyrpc::{NodeInfo, RpcError};
use flyrpc_examples::{process::Signal, show, text::TextClient};
use tokio::task::JoinSet;

use crate::{heading, row, start_here, start_node};

/// How often a call is made.
const PERIOD: Duration = Duration::from_millis(2);

/// How long each of them may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What a run showed: when the last call was made that went to the node, counted from the signal,
/// and how many were lost there.
struct Run {
    last: Duration,
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
    row("until it is not called any more, median", time(show::median(&mut times)));
    row("until it is not called any more, worst", time(worst));
    row("calls lost, worst", lost);
    Ok(())
}

/// A time until the last lost call; calls between two of which it happened do not tell more.
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
    // Both are called before, so that their links have been in use.
    calls(&hkg, &info, Instant::now(), Duration::from_millis(500)).await;
    victim.signal(signal)?;
    let run = calls(&hkg, &info, Instant::now(), watch).await;
    node.shutdown().await;
    Ok(run)
}

/// Makes calls for as long as `watch` says. They are not idempotent, so that each one that the
/// `victim` does not answer fails.
async fn calls(text: &TextClient, victim: &NodeInfo, start: Instant, watch: Duration) -> Run {
    let mut calls = JoinSet::new();
    let mut ticks = tokio::time::interval(PERIOD);
    while start.elapsed() < watch {
        ticks.tick().await;
        let (call, at) = (text.slow(Duration::ZERO), start.elapsed());
        calls.spawn(async move { (at, call.await) });
    }
    let answers: Vec<(Duration, Result<Duration, RpcError>)> = calls.join_all().await;
    let lost = answers.into_iter().filter_map(|(at, answer)| Some((at, answer.err()?)));
    let lost: Vec<Duration> = lost
        .filter(|(_, error)| error.node().is_some_and(|node| node.id() == victim.id()))
        .map(|(at, _)| at)
        .collect();
    Run { last: lost.iter().max().copied().unwrap_or_default(), lost: lost.len() }
}
