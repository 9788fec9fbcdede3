//! Helpers that wait until a node observes a change of its peers.

use std::{
    io,
    time::{Duration, Instant},
};

use flyrpc::{Event, Events, Node, NodeInfo, PeerState};

/// Upper bound on the time until an expected change is observed.
pub const WATCH_TIMEOUT: Duration = Duration::from_secs(20);

/// Waits until `node` has a link to `other`, and `other` accepts calls.
///
/// # Errors
///
/// Returns an error after [`WATCH_TIMEOUT`].
pub async fn until_callable(node: &Node, other: &NodeInfo) -> io::Result<()> {
    let callable = || {
        let peers = node.peers();
        let other = peers.iter().find(|peer| peer.node.as_ref() == Some(other));
        other.is_some_and(|peer| peer.state == PeerState::Linked && peer.accepting)
    };
    until(node, &format!("a link to {other}"), callable).await
}

/// Waits until `is_so` returns true. It is evaluated again after each event of `node`.
///
/// # Errors
///
/// Returns an error that names `what` after [`WATCH_TIMEOUT`].
pub async fn until(node: &Node, what: &str, is_so: impl Fn() -> bool) -> io::Result<()> {
    let mut events = node.events();
    let start = Instant::now();
    while !is_so() {
        let left = WATCH_TIMEOUT.saturating_sub(start.elapsed());
        next(&mut events, what, left).await?;
    }
    Ok(())
}

/// Waits for an event for which `wanted` returns true, and returns how long that took.
///
/// # Errors
///
/// Returns an error that names `what` after [`WATCH_TIMEOUT`].
pub async fn event(
    events: &mut Events,
    what: &str,
    wanted: impl Fn(&Event) -> bool,
) -> io::Result<Duration> {
    let start = Instant::now();
    while !wanted(&next(events, what, WATCH_TIMEOUT.saturating_sub(start.elapsed())).await?) {}
    Ok(start.elapsed())
}

async fn next(events: &mut Events, what: &str, within: Duration) -> io::Result<Event> {
    let late = || io::Error::other(format!("{what} was not observed within {WATCH_TIMEOUT:?}"));
    let event = tokio::time::timeout(within, events.next()).await.map_err(|_| late())?;
    event.ok_or_else(late)
}
