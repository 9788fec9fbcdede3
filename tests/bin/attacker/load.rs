//! The member: the node that calls the others, and its latencies.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use flyrpc::Node;
use futures_util::future::join_all;

use crate::{
    MEMBER_CALLS, NODES, Result,
    cluster::{TARGET, wait_for_nodes},
    node::TargetClient,
};

/// Concurrent calls of the member.
const CALLERS: usize = 4;

/// The node that calls the others.
pub(crate) struct Member {
    pub(crate) node: Node,
    target: TargetClient,
    /// Makes the numbers of the calls unique.
    calls: Arc<AtomicU64>,
}

/// The measurements of the member. Latencies are in milliseconds.
pub(crate) struct Latencies {
    pub(crate) failed: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Member {
    /// Starts the member, which calls all nodes, or `only` this one.
    pub(crate) async fn start(addrs: &[SocketAddr], only: Option<SocketAddr>) -> Result<Self> {
        let node = TARGET.node("member")?.region("hkg").seeds(addrs).start().await?;
        wait_for_nodes(&node, NODES).await;
        let target = node.client::<TargetClient>();
        let called = node.nodes().into_iter().find(|node| Some(node.addr()) == only);
        let target = match called {
            Some(node) => target.on_node(node.id()),
            None => target.on_region("iad"),
        };
        Ok(Member { node, target, calls: Arc::default() })
    }

    /// Calls for some time.
    pub(crate) async fn load(&self, time: Duration) -> Result<Latencies> {
        let end = Instant::now() + time;
        let callers = (0..CALLERS).map(|_| {
            let target = self.target.clone();
            let calls = Arc::clone(&self.calls);
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut failed = 0;
                while Instant::now() < end {
                    let call = MEMBER_CALLS + calls.fetch_add(1, Ordering::Relaxed);
                    let start = Instant::now();
                    match target.run(call).await {
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
        let mut latencies = Vec::new();
        let mut failed = 0;
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
