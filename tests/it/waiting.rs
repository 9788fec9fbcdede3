//! Calls that wait for nodes that refuse them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use flyrpc::{Observed, Observer, Outcome, RpcError};
use flyrpc_testkit::SimCluster;
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;

use crate::support::{Counts, ProbeClient, millis, probe_cluster, probe_release, secs, sleep};

/// Counts the attempts that were refused.
#[derive(Clone, Default)]
struct Refusals(Arc<AtomicU64>);

impl Observer for Refusals {
    fn observe(&self, observed: &Observed<'_>) {
        if let Observed::Ended(_, Outcome::Failed(RpcError::Refused { .. })) = observed {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Refusals {
    fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Starts iad-0, which accepts `max_in_flight` calls at a time, and hkg-0, whose refused attempts are
/// counted.
async fn limited_and_hkg(counts: &Counts, max_in_flight: usize) -> (SimCluster, Refusals) {
    let refusals = Refusals::default();
    let observer = refusals.clone();
    let limited =
        probe_release(counts).configure(move |_, builder| builder.max_in_flight(max_in_flight));
    let observed =
        probe_release(counts).configure(move |_, builder| builder.observer(observer.clone()));
    let cluster = probe_cluster(counts).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", limited).node("hkg-0", observed).start().await;
    sleep(secs(3)).await;
    (cluster, refusals)
}

#[tokio::test(start_paused = true)]
async fn thousands_of_waiting_calls_cause_few_refusals_and_fill_room_soon() {
    let counts = Counts::default();
    let (cluster, refusals) = limited_and_hkg(&counts, 100).await;
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad").timeout(secs(120));
    let _busy: Vec<_> = (0..100).map(|_| tokio::spawn(probe.slow(20_000))).collect();
    sleep(secs(1)).await;
    let start = Instant::now();
    let waiting: Vec<_> =
        (0..5_000).map(|_| tokio::spawn(probe.wait(secs(100)).slow(10))).collect();
    sleep(secs(1)).await;
    // Each call learns separately that the node is full.
    assert!(refusals.take() <= 5_100);
    for _ in 0..18 {
        sleep(secs(1)).await;
        let refused = refusals.take();
        assert!(refused < 20, "{refused}");
    }
    let mut waiting: FuturesUnordered<_> = waiting.into_iter().collect();
    while !waiting.is_empty() {
        let second = sleep(secs(1));
        let ended = async {
            while let Some(call) = waiting.next().await {
                call.unwrap().unwrap();
            }
        };
        tokio::select! {
            () = ended => {}
            () = second => {}
        }
        // Room becomes free all the time now, and several calls ask for it.
        let refused = refusals.take();
        assert!(refused < 500, "{refused}");
    }
    // A call takes 212 ms, so 5,000 calls, 100 at a time, take 10.6 s.
    assert!(start.elapsed() < secs(19 + 15), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_finds_room_within_a_second() {
    let counts = Counts::default();
    for busy in [500, 3_000, 30_000, 300_000] {
        let (cluster, refusals) = limited_and_hkg(&counts, 1).await;
        let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad");
        let probe = probe.timeout(secs(600)).wait(secs(600));
        let first = tokio::spawn(probe.slow(busy));
        sleep(millis(300)).await;
        let second = tokio::spawn(probe.shout("a".into()));
        first.await.unwrap().unwrap();
        let start = Instant::now();
        second.await.unwrap().unwrap();
        assert!(start.elapsed() < secs(1), "{:?}", start.elapsed());
        assert!(refusals.take() <= busy / 350 + 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_reports_the_refusal() {
    let counts = Counts::default();
    let (cluster, _) = limited_and_hkg(&counts, 1).await;
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad").timeout(secs(60));
    let _busy = tokio::spawn(probe.slow(50_000));
    sleep(secs(1)).await;
    let start = Instant::now();
    let error = probe.wait(secs(3)).shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::Refused { .. }), "{error:?}");
    assert!((secs(3)..secs(4)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn dropped_waiting_calls_do_not_hold_up_others() {
    let counts = Counts::default();
    let (cluster, _) = limited_and_hkg(&counts, 1).await;
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad").timeout(secs(60));
    let busy = tokio::spawn(probe.slow(5_000));
    sleep(secs(1)).await;
    let dropped: Vec<_> =
        (0..500).map(|_| tokio::spawn(probe.wait(secs(50)).shout("a".into()))).collect();
    sleep(secs(1)).await;
    let last = tokio::spawn(probe.wait(secs(50)).shout("a".into()));
    sleep(secs(1)).await;
    dropped.iter().for_each(|call| call.abort());
    busy.await.unwrap().unwrap();
    let start = Instant::now();
    last.await.unwrap().unwrap();
    assert!(start.elapsed() < secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn retries_in_a_region_that_refuses_everything_have_a_budget() {
    let counts = Counts::default();
    let refusals = Refusals::default();
    let observer = refusals.clone();
    let limited = probe_release(&counts).configure(|_, builder| builder.max_in_flight(1));
    let observed =
        probe_release(&counts).configure(move |_, builder| builder.observer(observer.clone()));
    let cluster = probe_cluster(&counts).release(limited);
    let cluster = cluster.region("iad", 3).region("lhr", 3).region("hkg", 1);
    let cluster = cluster.node("hkg-0", observed).start().await;
    sleep(secs(3)).await;
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    for node in [hkg.nodes_in("iad"), hkg.nodes_in("lhr")].concat() {
        tokio::spawn(probe.on_node(node.id()).timeout(secs(60)).slow(50_000));
    }
    sleep(secs(1)).await;
    let attempts = async |region: &'static str, calls: usize| {
        let calls: Vec<_> =
            (0..calls).map(|_| tokio::spawn(probe.on_region(region).shout("a".into()))).collect();
        for call in calls {
            call.await.unwrap().unwrap_err();
        }
        refusals.take()
    };
    // One retry for every five attempts, and 100 more.
    let in_iad = attempts("iad", 1_000).await;
    assert!((1_300..1_450).contains(&in_iad), "{in_iad}");
    // Each region has its own budget, and a call makes at most three attempts.
    assert_eq!(attempts("lhr", 50).await, 3 * 50);
}
