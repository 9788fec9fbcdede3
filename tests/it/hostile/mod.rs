//! Robustness against peers that send invalid data, other programs at seed addresses, and user
//! types that panic. The tests use real loopback sockets, not a SimCluster, so that they also cover
//! the real environment.

mod blocking;
mod calls;
mod cluster;
mod flood;
mod frames;
mod handshakes;
#[cfg(target_os = "linux")]
mod memory;
mod parallel;
pub(crate) mod raw_peer;
mod seeds;

use std::net::SocketAddr;

use flyrpc::{Event, Node, NodeBuilder};
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::{runtime::Handle, time::Instant};

use crate::support::{
    Counts, ProbeClient, millis, panics_in_flyrpc, prober, process::HEARTBEAT, secs,
};
pub(super) use crate::support::{count_panics, process::GENEROUS_TIMEOUT};

pub(super) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Returns a builder for a node in `region` with real sockets.
pub(super) fn builder(name: &str, region: &str) -> NodeBuilder {
    Node::builder()
        .name(name)
        .region(region)
        .primary_region("iad")
        .heartbeat(HEARTBEAT)
        .listen(LOOPBACK)
}

/// The node under attack, in iad, and its sibling in hkg, which calls it.
pub(super) struct AttackedNode {
    pub(super) node: Node,
    pub(super) counts: Counts,
    sibling: Node,
    events: Box<dyn Stream<Item = Event> + Send + Unpin>,
    tasks_before: usize,
}

impl AttackedNode {
    pub(super) async fn new() -> Self {
        AttackedNode::with(|builder| builder).await
    }

    /// Starts both nodes. `configure` changes the settings of the node under attack.
    pub(super) async fn with(configure: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Self {
        count_panics();
        let counts = Counts::default();
        let node = configure(builder("iad-0", "iad")).serve(prober("iad-0", &counts));
        let node = node.start().await.unwrap();
        let sibling = builder("hkg-0", "hkg").seeds([node.addr()]).start().await.unwrap();
        sibling.ready().await;
        let events = Box::new(sibling.events());
        let mut attacked = AttackedNode { node, counts, sibling, events, tasks_before: 0 };
        attacked.sibling().shout(String::new()).await.unwrap();
        attacked.tasks_before = attacked.idle_tasks().await;
        attacked
    }

    /// A client on the sibling, whose calls are sent to the node under attack.
    pub(super) fn sibling(&self) -> ProbeClient {
        self.sibling.client::<ProbeClient>().on_region("iad")
    }

    /// Waits until the number of tasks is stable, and returns it.
    async fn idle_tasks(&self) -> usize {
        let mut before = usize::MAX;
        loop {
            tokio::time::sleep(millis(20)).await;
            let now = Handle::current().metrics().num_alive_tasks();
            if now == before {
                return now;
            }
            before = now;
        }
    }

    /// Checks that the node still serves its sibling over the same link, and that all tasks that
    /// the attack started have ended.
    #[track_caller]
    pub(super) fn expect_unharmed(&mut self) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let reply =
                self.sibling().timeout(GENEROUS_TIMEOUT).shout("still here".to_owned()).await;
            assert_eq!(reply.unwrap().0, "STILL HERE", "at {at}");
            let mut lost = Vec::new();
            while let Some(event) = self.events.next().now_or_never() {
                if let Some(Event::Down(node) | Event::Left(node)) = event {
                    lost.push(node);
                }
            }
            assert!(lost.iter().all(|node| node.id() != self.node.id()), "at {at}: {lost:?}");
            let start = Instant::now();
            loop {
                let alive = Handle::current().metrics().num_alive_tasks();
                if alive <= self.tasks_before {
                    break;
                }
                assert!(
                    start.elapsed() < secs(5),
                    "at {at}: {alive} tasks are alive, expected at most {}",
                    self.tasks_before
                );
                tokio::time::sleep(millis(5)).await;
            }
            assert_eq!(panics_in_flyrpc(), 0, "at {at}: flyrpc panicked");
        }
    }
}

/// Polls until `condition` holds. For conditions that have no event to wait for.
#[track_caller]
pub(super) fn eventually(
    what: &str,
    mut condition: impl AsyncFnMut() -> bool,
) -> impl Future<Output = ()> {
    let at = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        while !condition().await {
            assert!(
                start.elapsed() < GENEROUS_TIMEOUT,
                "at {at}: condition not met within {GENEROUS_TIMEOUT:?}: {what}"
            );
            tokio::time::sleep(millis(5)).await;
        }
    }
}
