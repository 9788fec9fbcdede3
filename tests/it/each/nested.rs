//! Streams that handlers make.

use std::sync::{Arc, Mutex};

use flyrpc::{Nodes, Replies, RpcError, fly_rpc};
use flyrpc_testkit::SimCluster;
use tokio::time::Instant;

use super::{Load, PlaceClient, cluster_of, place};
use crate::support::{secs, sleep};

#[fly_rpc]
trait Relay {
    /// Calls `work` on all nodes, with a timeout of a minute. Returns how many of them replied.
    async fn relay(&self, millis: u64) -> usize;
    /// Makes the same stream, which is polled elsewhere.
    async fn start(&self, millis: u64);
    /// Does the same, and is detached.
    #[rpc(detached)]
    async fn start_detached(&self, millis: u64);
}

#[derive(Clone, Default)]
struct Relaying(Arc<Mutex<Option<Replies<String>>>>);

impl Relaying {
    fn all(millis: u64) -> Replies<String> {
        let place: PlaceClient = flyrpc::context().client();
        place.timeout(secs(60)).each(Nodes::all(), move |place| place.work(millis))
    }
}

impl Relay for Relaying {
    async fn relay(&self, millis: u64) -> usize {
        let replies = Relaying::all(millis).collect().await;
        replies.iter().filter(|(_, result)| result.is_ok()).count()
    }

    async fn start(&self, millis: u64) {
        *self.0.lock().unwrap() = Some(Relaying::all(millis));
    }

    async fn start_detached(&self, millis: u64) {
        self.start(millis).await;
    }
}

/// Starts this many nodes in iad, and one in hkg that relays.
async fn relays(iad: usize, load: &Load) -> (SimCluster, Relaying) {
    let relaying = Relaying::default();
    let service = relaying.clone();
    let relay = place(load).serve(move |_| ServeRelay::new(service.clone()));
    let cluster = cluster_of(&[("iad", iad), ("hkg", 1)], load).node("hkg-0", relay);
    (cluster.start().await, relaying)
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_handler_end_with_the_call_that_it_serves() {
    let load = Load::default();
    let (cluster, _) = relays(2, &load).await;
    for caller in ["iad-0", "hkg-0"] {
        let before = load.started();
        let relay: RelayClient = cluster.node(caller).client();
        let relay = relay.on_region("hkg").timeout(secs(3));
        let start = Instant::now();
        match relay.relay(20_000).await {
            Ok(replies) => assert_eq!(replies, 0),
            Err(error) => assert!(matches!(error, RpcError::Timeout { .. }), "{error:?}"),
        }
        assert_eq!(start.elapsed(), secs(3));
        sleep(secs(1)).await;
        assert_eq!((load.started() - before, load.running()), (3, 0), "from {caller}");
        assert_eq!(relay.timeout(secs(10)).relay(1).await.unwrap(), 3);
        assert_eq!(load.running(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_a_handler_has_its_deadline_wherever_it_is_polled() {
    let load = Load::default();
    let (cluster, relaying) = relays(70, &load).await;
    let relay: RelayClient = cluster.node("iad-0").client();
    let relay = relay.on_region("hkg").timeout(secs(3));
    let start = Instant::now();
    relay.start(2_000).await.unwrap();
    let replies = relaying.0.lock().unwrap().take().unwrap();
    // The handler has ended, and this task belongs to no call. Most calls start at 2 s.
    let replies = tokio::spawn(replies.collect()).await.unwrap();
    assert!(start.elapsed() <= secs(3), "{:?}", start.elapsed());
    let timed_out =
        |result: &Result<String, RpcError>| matches!(result, Err(RpcError::Timeout { .. }));
    assert_eq!(replies.iter().filter(|(_, result)| timed_out(result)).count(), 7);
    assert_eq!(replies.iter().filter(|(_, result)| result.is_ok()).count(), 64);

    relay.start_detached(2_000).await.unwrap();
    let replies = relaying.0.lock().unwrap().take().unwrap();
    let replies = replies.collect().await;
    assert!(replies.iter().all(|(_, result)| result.is_ok()), "no deadline bounds them");
    assert!(start.elapsed() > secs(6));
}
