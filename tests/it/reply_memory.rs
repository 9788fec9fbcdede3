//! The memory that a node uses for encoded replies to slow peers.

use std::time::Duration;

use flyrpc::{Refusal, RpcError};
use flyrpc_testkit::{FaultGuard, SimCluster};
use tokio::{task::JoinHandle, time::Instant};

use crate::support::{Counts, ProbeClient, millis, probe_cluster, probe_release, secs, sleep};

/// The regions that call iad. Each has one node.
const CALLERS: [&str; 6] = ["hkg", "nrt", "lhr", "fra", "syd", "gru"];

/// The bytes of a reply, which take 10 s on a throttled path.
const REPLY: usize = 1_000_000;

/// The paths from iad, which carry 100 kB/s, and a node on each of them that calls iad-0.
struct SlowCallers {
    cluster: SimCluster,
    _slow: Vec<FaultGuard>,
}

/// The result of a call, and when it ended.
type Ended = JoinHandle<(Duration, Result<Vec<u8>, RpcError>)>;

impl SlowCallers {
    /// Starts nodes whose memory suffices for four replies.
    async fn start() -> Self {
        let counts = Counts::default();
        let limited = probe_release(&counts).configure(|_, builder| {
            builder.max_body(2 * REPLY + 50_000).max_body_memory(4 * REPLY + 100_000)
        });
        let cluster =
            CALLERS.iter().fold(probe_cluster(&counts).region("iad", 1), |cluster, region| {
                cluster.region(*region, 1)
            });
        let cluster = cluster.node("iad-0", limited).start().await;
        sleep(secs(3)).await;
        let slow = CALLERS.map(|region| cluster.throttle("iad", region, 100_000)).into();
        SlowCallers { cluster, _slow: slow }
    }

    fn probe(&self, caller: usize, timeout: Duration) -> ProbeClient {
        let node = self.cluster.node(format!("{}-0", CALLERS[caller]));
        node.client::<ProbeClient>().on_region("iad").timeout(timeout)
    }

    /// Starts a call with a reply of `size` bytes.
    fn call(&self, caller: usize, size: usize, timeout: Duration) -> Ended {
        let reply = self.probe(caller, timeout).produce(size);
        let start = Instant::now();
        tokio::spawn(async move {
            let result = reply.await;
            (start.elapsed(), result)
        })
    }

    /// Starts one call of each of the first four callers. Their replies use all of the memory.
    async fn fill(&self) -> Vec<Ended> {
        let calls = (0..4).map(|caller| self.call(caller, REPLY, secs(300))).collect();
        sleep(millis(500)).await;
        calls
    }
}

#[tokio::test(start_paused = true)]
async fn replies_to_all_peers_together_use_at_most_the_memory_for_bodies() {
    let callers = SlowCallers::start().await;
    let calls: Vec<_> = (0..6).map(|caller| callers.call(caller, REPLY, secs(300))).collect();
    let mut took = Vec::new();
    for call in calls {
        let (after, result) = call.await.unwrap();
        assert_eq!(result.unwrap().len(), REPLY);
        took.push(after);
    }
    took.sort();
    assert!(took[3] < secs(12), "{took:?}");
    assert!(took[4] > secs(18) && took[5] < secs(24), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_waits_for_memory_ends_with_its_deadline() {
    let callers = SlowCallers::start().await;
    let calls = callers.fill().await;
    let (after, result) = callers.call(4, REPLY, secs(3)).await.unwrap();
    assert!(matches!(result, Err(RpcError::Timeout { .. })), "{result:?}");
    assert!(after <= millis(3_002), "{after:?}");
    for call in calls {
        call.await.unwrap().1.unwrap();
    }
    // It has left nothing behind that the next replies would wait for.
    let (after, result) = callers.call(4, REPLY, secs(300)).await.unwrap();
    result.unwrap();
    assert!(after < secs(12), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn memory_that_one_link_returns_wakes_a_reply_of_another() {
    let callers = SlowCallers::start().await;
    let calls = callers.fill().await;
    let waiting = callers.call(4, REPLY, secs(300));
    sleep(secs(2)).await;
    calls[0].abort();
    let (after, result) = waiting.await.unwrap();
    result.unwrap();
    assert!(after > secs(12) && after < millis(13_500), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn requests_are_refused_while_replies_use_the_memory() {
    let callers = SlowCallers::start().await;
    let calls = callers.fill().await;
    let probe = callers.probe(5, secs(300));
    let result = probe.echo(vec![1; 200_000]).await;
    assert!(matches!(result, Err(RpcError::Refused { reason: Refusal::Memory, .. })), "{result:?}");
    for call in calls {
        call.await.unwrap().1.unwrap();
    }
    probe.echo(vec![1; 200_000]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_needs_half_of_the_memory_is_not_overtaken_forever() {
    let callers = SlowCallers::start().await;
    let calls = callers.fill().await;
    let long = callers.call(4, 2 * REPLY, secs(60));
    // Calls whose replies would always take the memory that a shorter reply has returned.
    let mut repeated = Vec::new();
    for caller in [0, 1, 2, 3, 5] {
        let probe = callers.probe(caller, secs(300));
        repeated.push(tokio::spawn(async move {
            loop {
                let _ = probe.produce(REPLY / 2).await;
            }
        }));
    }
    let (after, result) = long.await.unwrap();
    assert_eq!(result.unwrap().len(), 2 * REPLY);
    assert!(after < secs(45), "{after:?}");
    drop(calls);
    repeated.iter().for_each(JoinHandle::abort);
}
