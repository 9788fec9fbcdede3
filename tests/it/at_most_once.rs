//! No call executes twice unless its method is idempotent, and errors report correctly whether the
//! call may have executed, regardless of which fault occurs and when.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use flyrpc::{RpcError, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};

use crate::support::{millis, secs, sleep};

#[fly_rpc]
trait Ledger {
    /// Records that `id` was executed and takes `millis` milliseconds.
    async fn pay(&self, id: u64, millis: u64, ballast: Vec<u8>) -> u32;
    /// Does the same as `pay`, and may be repeated.
    #[rpc(idempotent)]
    async fn set(&self, id: u64, millis: u64, ballast: Vec<u8>) -> u32;
}

/// The executed attempts of each call, across all nodes.
type Executed = Arc<Mutex<BTreeMap<u64, Vec<u32>>>>;

#[derive(Clone)]
struct Book(Executed);

impl Book {
    async fn record(&self, id: u64, millis: u64) -> u32 {
        let attempt = flyrpc::context().attempt();
        self.0.lock().unwrap().entry(id).or_default().push(attempt);
        sleep(std::time::Duration::from_millis(millis)).await;
        attempt
    }
}

impl Ledger for Book {
    async fn pay(&self, id: u64, millis: u64, _: Vec<u8>) -> u32 {
        self.record(id, millis).await
    }

    async fn set(&self, id: u64, millis: u64, _: Vec<u8>) -> u32 {
        self.record(id, millis).await
    }
}

struct Shop {
    cluster: SimCluster,
    executed: Executed,
}

/// Starts two nodes in iad that serve a ledger, and one in hkg that calls them.
async fn shop(seed: u64) -> Shop {
    let executed = Executed::default();
    let book = Book(Arc::clone(&executed));
    let cluster = SimCluster::builder()
        .seed(seed)
        .announce(false)
        .region("iad", 2)
        .region("hkg", 1)
        .serve(move |_| ServeLedger::new(book.clone()))
        .node("hkg-0", Release::new())
        .start()
        .await;
    sleep(secs(2)).await;
    Shop { cluster, executed }
}

type Outcome = (u64, bool, Result<u32, RpcError>);

/// Makes a call every 10 ms for 400 ms while `fault` runs. Some of the calls are large.
async fn calls_during(shop: &Shop, fault: impl Future<Output = ()>) -> Vec<Outcome> {
    let ledger: LedgerClient = shop.cluster.node("hkg-0").client();
    let ledger = ledger.on_region("iad");
    let calls = async {
        let mut calls = Vec::new();
        for id in 0..40 {
            let ballast = vec![0; if id % 16 == 7 { 200_000 } else { 10 }];
            let (ledger, idempotent) = (ledger.clone(), id % 4 >= 2);
            calls.push(tokio::spawn(async move {
                let outcome = match idempotent {
                    true => ledger.set(id, 50, ballast).await,
                    false => ledger.pay(id, 50, ballast).await,
                };
                (id, idempotent, outcome)
            }));
            sleep(millis(10)).await;
        }
        let mut outcomes = Vec::new();
        for call in calls {
            outcomes.push(call.await.unwrap());
        }
        outcomes
    };
    let (outcomes, ()) = futures_util::future::join(calls, fault).await;
    // Long enough for everything in flight to end.
    shop.cluster.heal_all();
    sleep(secs(60)).await;
    outcomes
}

/// Compares the outcomes at the callers with the executions. Returns the number of failed calls.
#[track_caller]
fn check(shop: &Shop, outcomes: &[Outcome], moment: u64) -> usize {
    let executed = shop.executed.lock().unwrap();
    let mut failed = 0;
    for (id, idempotent, outcome) in outcomes {
        let attempts = executed.get(id).cloned().unwrap_or_default();
        let at = format!("call {id}, fault at {moment} ms: {attempts:?}, {outcome:?}");
        assert!(attempts.len() <= if *idempotent { 3 } else { 1 }, "{at}");
        assert!(attempts.iter().all(|attempt| (1..=3).contains(attempt)), "{at}");
        match outcome {
            Ok(attempt) => assert!(attempts.contains(attempt), "{at}"),
            Err(error) => {
                failed += 1;
                assert!(error.may_have_executed() || attempts.is_empty(), "{at}");
            }
        }
    }
    failed
}

#[tokio::test(start_paused = true)]
async fn whenever_a_node_crashes() {
    let mut failed = 0;
    for moment in (0..420).step_by(19) {
        let shop = shop(moment).await;
        let outcomes = calls_during(&shop, async {
            sleep(millis(moment)).await;
            shop.cluster.crash_machine("iad-0");
        })
        .await;
        failed += check(&shop, &outcomes, moment);
        // Idempotent calls are retried on the other node.
        for (id, idempotent, outcome) in &outcomes {
            assert!(!idempotent || outcome.is_ok(), "{id} at {moment}: {outcome:?}");
        }
    }
    assert!(failed > 0);
}

#[tokio::test(start_paused = true)]
async fn whenever_a_node_crashes_and_restarts() {
    for moment in (0..420).step_by(37) {
        let shop = shop(moment).await;
        let outcomes = calls_during(&shop, async {
            sleep(millis(moment)).await;
            shop.cluster.crash("iad-0");
            sleep(millis(moment % 100)).await;
            shop.cluster.restart("iad-0").await;
        })
        .await;
        check(&shop, &outcomes, moment);
    }
}

#[tokio::test(start_paused = true)]
async fn whenever_the_regions_are_partitioned_for_a_while() {
    for (seconds, one_way) in [(2, false), (4, true), (9, false), (9, true)] {
        for moment in (0..420).step_by(83) {
            let shop = shop(moment).await;
            let outcomes = calls_during(&shop, async {
                sleep(millis(moment)).await;
                let _cut = match (one_way, moment % 2 == 0) {
                    (false, _) => shop.cluster.partition("hkg", "iad"),
                    (true, false) => shop.cluster.partition_one_way("hkg", "iad"),
                    (true, true) => shop.cluster.partition_one_way("iad", "hkg"),
                };
                sleep(secs(seconds)).await;
            })
            .await;
            check(&shop, &outcomes, moment);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whenever_a_node_is_frozen_for_a_while() {
    for seconds in [1, 3, 7, 20] {
        for (moment, host) in (0..420).step_by(71).zip(["iad-0", "hkg-0"].iter().cycle()) {
            let shop = shop(moment).await;
            let outcomes = calls_during(&shop, async {
                sleep(millis(moment)).await;
                shop.cluster.freeze(host);
                sleep(secs(seconds)).await;
                shop.cluster.resume(host);
            })
            .await;
            check(&shop, &outcomes, moment);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whenever_a_node_shuts_down() {
    for moment in (0..420).step_by(29) {
        let shop = shop(moment).await;
        let outcomes = calls_during(&shop, async {
            sleep(millis(moment)).await;
            shop.cluster.shutdown("iad-0").await;
        })
        .await;
        check(&shop, &outcomes, moment);
        // The other node of the region is up the whole time.
        for (id, _, outcome) in &outcomes {
            assert!(outcome.is_ok(), "{id} at {moment}: {outcome:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whenever_a_call_times_out() {
    for moment in (0..420).step_by(23) {
        let shop = shop(moment).await;
        let ledger = shop
            .cluster
            .node("hkg-0")
            .client::<LedgerClient>()
            .on_region("iad")
            .timeout(millis(moment));
        let mut outcomes = Vec::new();
        for id in 0..20 {
            let ballast = vec![0; if id % 4 == 0 { 300_000 } else { 10 }];
            outcomes.push(tokio::spawn(ledger.pay(id, 50, ballast)));
        }
        for (id, outcome) in outcomes.into_iter().enumerate() {
            let outcome = outcome.await.unwrap();
            sleep(millis(1)).await;
            check(&shop, &[(id as u64, false, outcome)], moment);
        }
        let before = shop.executed.lock().unwrap().len();
        sleep(secs(60)).await;
        // A call that has timed out does not start later.
        assert_eq!(shop.executed.lock().unwrap().len(), before, "{moment}");
    }
}
