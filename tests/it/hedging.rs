//! `#[rpc(hedge = "…")]`: a second attempt on another node, if the first one takes long.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc::fly_rpc;
use flyrpc_testkit::{CallOutcome, Release, SimCluster};
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::support::{millis, secs, sleep};

#[fly_rpc]
trait Reads {
    /// Returns the name of the node.
    #[rpc(idempotent, hedge = "50ms", timeout = "60s")]
    async fn read(&self) -> String;
    #[rpc(idempotent, hedge = "p90", timeout = "60s")]
    async fn find(&self) -> String;
}

/// How long each node takes, and the number of handlers that ran to their end.
#[derive(Clone, Default)]
struct Nodes {
    delays: Arc<Mutex<BTreeMap<String, Duration>>>,
    finished: Arc<AtomicU64>,
}

struct Reader {
    name: String,
    nodes: Nodes,
}

impl Reads for Reader {
    async fn read(&self) -> String {
        let delay = self.nodes.delays.lock().unwrap().get(&self.name).copied();
        sleep(delay.unwrap_or_default()).await;
        self.nodes.finished.fetch_add(1, Ordering::SeqCst);
        self.name.clone()
    }

    async fn find(&self) -> String {
        self.read().await
    }
}

impl Nodes {
    fn delay(&self, node: &str, delay: Duration) {
        self.delays.lock().unwrap().insert(node.to_owned(), delay);
    }

    /// Starts `iad` nodes in iad, one in lhr, and hkg-0. The round trip between iad and hkg takes 10 ms.
    async fn cluster(&self, iad: usize) -> SimCluster {
        let nodes = self.clone();
        let release = Release::new().serve(move |at| {
            let (name, nodes) = (at.name().to_owned(), nodes.clone());
            ServeReads::new(Reader { name, nodes })
        });
        let cluster = SimCluster::builder().release(release).region("iad", iad);
        let cluster = cluster.region("lhr", 1).region("hkg", 1).rtt("iad", "hkg", millis(10));
        let cluster = cluster.start().await;
        sleep(secs(3)).await;
        cluster
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_attempt_gets_a_second_one_and_the_first_reply_wins() {
    let nodes = Nodes::default();
    let cluster = nodes.cluster(2).await;
    nodes.delay("iad-0", secs(30));
    let reads = cluster.node("hkg-0").client::<ReadsClient>().on_region("iad");
    let mut hedged = 0;
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(reads.read().await.unwrap(), "iad-1");
        let took = start.elapsed();
        assert!(took == millis(10) || took == millis(60), "{took:?}");
        hedged += u64::from(took == millis(60));
    }
    assert!(hedged > 0);
    sleep(secs(60)).await;
    // The attempts that lost were canceled.
    assert_eq!(nodes.finished.load(Ordering::SeqCst), 20);
    let trace = cluster.trace();
    let lost = trace.calls().to_node("iad-0");
    assert_eq!(lost.clone().count() as u64, hedged);
    assert!(lost.into_iter().all(|call| call.outcome() == Some(&CallOutcome::Cancelled)));
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_attempts_are_replaced_gets_few_first_attempts() {
    let nodes = Nodes::default();
    let cluster = nodes.cluster(2).await;
    let reads = cluster.node("hkg-0").client::<ReadsClient>().on_region("iad");
    for _ in 0..20 {
        reads.read().await.unwrap();
    }
    nodes.delay("iad-0", secs(30));
    let mut hedged = 0;
    for _ in 0..500 {
        let start = Instant::now();
        reads.read().await.unwrap();
        hedged += usize::from(start.elapsed() > millis(10));
    }
    assert!((1..=10).contains(&hedged), "{hedged} of 500 calls");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_returns_in_time_has_one_attempt() {
    let nodes = Nodes::default();
    let cluster = nodes.cluster(2).await;
    for name in ["iad-0", "iad-1"] {
        nodes.delay(name, millis(39));
    }
    let reads = cluster.node("hkg-0").client::<ReadsClient>().on_region("iad");
    join_all((0..50).map(|_| reads.read())).await.into_iter().for_each(|read| {
        read.unwrap();
    });
    assert_eq!(cluster.trace().calls().count(), 50);
}

#[tokio::test(start_paused = true)]
async fn without_another_node_the_first_attempt_is_awaited() {
    let nodes = Nodes::default();
    let cluster = nodes.cluster(1).await;
    nodes.delay("iad-0", secs(2));
    let reads = cluster.node("hkg-0").client::<ReadsClient>().on_region("iad");
    assert_eq!(reads.read().await.unwrap(), "iad-0");
    assert_eq!(cluster.trace().calls().count(), 1);
    // A further target has another node.
    let start = Instant::now();
    assert_eq!(reads.or_region("lhr").read().await.unwrap(), "lhr-0");
    assert_eq!(start.elapsed(), millis(50 + 199));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_went_on_to_another_target_is_hedged_too() {
    let nodes = Nodes::default();
    let cluster = nodes.cluster(2).await;
    nodes.delay("iad-0", secs(30));
    let reads = cluster.node("hkg-0").client::<ReadsClient>().on_region("syd").or_region("iad");
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(reads.read().await.unwrap(), "iad-1");
        assert!(start.elapsed() <= millis(60), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_node_does_not_get_a_second_attempt() {
    let nodes = Nodes::default();
    let cluster = nodes.cluster(2).await;
    nodes.delay("iad-0", secs(1));
    cluster.freeze("iad-1");
    sleep(secs(4)).await;
    let reads = cluster.node("hkg-0").client::<ReadsClient>().on_region("iad");
    assert_eq!(reads.read().await.unwrap(), "iad-0");
    assert_eq!(cluster.trace().calls().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn hedging_is_limited_by_the_budget_for_retries() {
    let nodes = Nodes::default();
    let cluster = nodes.cluster(3).await;
    for name in ["iad-0", "iad-1", "iad-2"] {
        nodes.delay(name, secs(1));
    }
    let reads = cluster.node("hkg-0").client::<ReadsClient>().on_region("iad");
    for read in join_all((0..1_000).map(|_| reads.read())).await {
        read.unwrap();
    }
    let attempts = cluster.trace().calls().count();
    // 100 and a fifth of the calls.
    assert!((1_250..=1_310).contains(&attempts), "{attempts}");
}

#[tokio::test(start_paused = true)]
async fn the_delay_can_be_a_percentile_of_the_latencies_of_earlier_calls() {
    let nodes = Nodes::default();
    let cluster = nodes.cluster(2).await;
    let reads = cluster.node("hkg-0").client::<ReadsClient>().on_region("iad");
    let delay_all = |delay| ["iad-0", "iad-1"].iter().for_each(|node| nodes.delay(node, delay));
    // A tenth of the calls take ten times as long as the others.
    for number in 0..500_u32 {
        delay_all(millis(if number % 10 == 0 { 200 } else { 20 }));
        reads.find().await.unwrap();
    }
    let before = cluster.elapsed();
    for number in 0..500_u32 {
        delay_all(millis(if number % 10 == 0 { 200 } else { 20 }));
        reads.find().await.unwrap();
    }
    let attempts = cluster.trace().between(before..).calls().count();
    // Each slow call, and some of those near the percentile.
    assert!((530..=650).contains(&attempts), "{attempts}");
    // A node that is much slower than the percentile costs little more than the delay.
    delay_all(millis(20));
    nodes.delay("iad-0", secs(10));
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(reads.find().await.unwrap(), "iad-1");
        assert!(start.elapsed() < millis(500), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_in_process_is_not_hedged() {
    let nodes = Nodes::default();
    let cluster = nodes.cluster(2).await;
    nodes.delay("iad-0", secs(1));
    let reads: ReadsClient = cluster.node("iad-0").client();
    assert_eq!(reads.read().await.unwrap(), "iad-0");
    assert_eq!(cluster.trace().calls().count(), 1);
}
