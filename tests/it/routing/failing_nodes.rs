//! Failing nodes are ejected, and return.

use std::time::Duration;

use flyrpc::{Node, RpcError};
use flyrpc_testkit::SimCluster;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{Behavior, Nodes, WorkClient, call_periodically, iad_and_caller, random};
use crate::support::{EventLog, millis, peer_named, secs, sleep};

/// How a client calls.
#[derive(Debug, Clone, Copy)]
enum Calls {
    /// One call in each of these periods.
    Each(Duration),
    /// This many callers. Each makes one call after the other.
    AtOnce(u64),
}

impl Calls {
    async fn make(self, client: &WorkClient, time: Duration) {
        let end = Instant::now() + time;
        let callers = match self {
            Calls::Each(period) => return drop(call_periodically(client, period, time).await),
            Calls::AtOnce(callers) => callers,
        };
        let mut running = JoinSet::new();
        for caller in 0..callers {
            let client = client.clone();
            running.spawn(async move {
                for turn in 0.. {
                    let call = client.work(random(caller + turn * callers));
                    if timeout_at(end, call).await.is_err() {
                        return;
                    }
                }
            });
        }
        running.join_all().await;
    }
}

/// Returns the names of the ejected nodes of iad.
fn ejected(node: &Node, count: usize) -> Vec<String> {
    let names = (0..count).map(|at| format!("iad-{at}"));
    names.filter(|name| peer_named(node, name).ejected).collect()
}

/// Starts `count` nodes in iad, with handlers that take up to `takes`, and a caller.
async fn nodes_that_take(takes: Duration, count: usize) -> (Nodes, SimCluster, Node) {
    let nodes = Nodes::default();
    (0..count).for_each(|at| nodes.set(&format!("iad-{at}"), Behavior::Takes(takes)));
    let (cluster, caller) = iad_and_caller(&nodes, count).await;
    (nodes, cluster, caller)
}

/// Lets one of three nodes, whose handlers take up to `takes`, fail at once for `failing`. It must get few calls, and
/// its share must be back within `back` afterward.
async fn black_hole(calls: Calls, takes: Duration, failing: Duration, back: Duration) {
    let (nodes, _cluster, caller) = nodes_that_take(takes, 3).await;
    let client = caller.client::<WorkClient>().on_region("iad");
    calls.make(&client, secs(3)).await;
    nodes.set("iad-0", Behavior::Panics);
    calls.make(&client, secs(1)).await;
    nodes.take_share("iad-0");
    calls.make(&client, secs(4)).await;
    let share = nodes.take_share("iad-0");
    assert!(share <= 0.05, "{calls:?}: {share} after 1 s");
    calls.make(&client, failing - secs(5)).await;
    let share = nodes.take_share("iad-0");
    assert!(share <= 0.01, "{calls:?}: {share} after 5 s");

    nodes.set("iad-0", Behavior::Takes(takes));
    calls.make(&client, back).await;
    nodes.take_share("iad-0");
    calls.make(&client, secs(3)).await;
    let share = nodes.take_share("iad-0");
    assert!(share >= 0.2, "{calls:?}: {share} after it was healed for {back:?}");
    assert_eq!(ejected(&caller, 3), [""; 0]);
}

/// About 1,000 calls a second, and how long a handler takes at most.
const CALLS: [(Calls, Duration); 3] = [
    (Calls::Each(millis(1)), millis(10)),
    (Calls::AtOnce(10), millis(20)),
    (Calls::AtOnce(100), millis(200)),
];

#[tokio::test(start_paused = true)]
async fn a_node_that_fails_at_once_gets_few_calls_and_returns_within_seconds() {
    for (calls, takes) in CALLS {
        black_hole(calls, takes, secs(8), secs(15)).await;
    }
}

#[tokio::test(start_paused = true)]
#[ignore = "takes half a minute in a debug build; the benchmark `routing` measures the same"]
async fn a_node_that_failed_for_minutes_returns_within_35_seconds() {
    black_hole(Calls::Each(millis(20)), millis(10), secs(300), secs(35)).await;
}

#[tokio::test(start_paused = true)]
async fn ejections_and_returns_are_events() {
    let (nodes, _cluster, caller) = nodes_that_take(millis(100), 3).await;
    let events = EventLog::of(&caller);
    let client = caller.client::<WorkClient>().on_region("iad");
    nodes.set("iad-1", Behavior::Panics);
    Calls::AtOnce(100).make(&client, secs(2)).await;
    assert_eq!(ejected(&caller, 3), ["iad-1"]);
    assert_eq!(events.all(), ["ejected iad-1"]);
    // The probe fails.
    Calls::Each(millis(10)).make(&client, secs(10)).await;
    assert_eq!(events.all(), ["ejected iad-1"; 2]);
    nodes.set("iad-1", Behavior::Takes(millis(100)));
    Calls::Each(millis(10)).make(&client, secs(20)).await;
    assert_eq!(events.all(), ["ejected iad-1", "ejected iad-1", "restored iad-1"]);
    assert_eq!(ejected(&caller, 3), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn one_call_probes_an_ejected_node() {
    let (nodes, _cluster, caller) = nodes_that_take(millis(100), 2).await;
    let client = caller.client::<WorkClient>().on_region("iad");
    nodes.set("iad-0", Behavior::Panics);
    Calls::AtOnce(100).make(&client, secs(1)).await;
    assert_eq!(ejected(&caller, 2), ["iad-0"]);
    nodes.take_share("iad-0");
    nodes.set("iad-0", Behavior::NeverAnswers);
    Calls::AtOnce(100).make(&client, secs(15)).await;
    assert_eq!(nodes.calls("iad-0"), 1);
    assert_eq!(peer_named(&caller, "iad-0").in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn past_half_of_a_region_ejections_are_ignored() {
    let (nodes, _cluster, caller) = nodes_that_take(millis(100), 4).await;
    let client = caller.client::<WorkClient>().on_region("iad");
    (0..2).for_each(|at| nodes.set(&format!("iad-{at}"), Behavior::Panics));
    Calls::AtOnce(16).make(&client, secs(1)).await;
    nodes.take_share("iad-0");
    Calls::AtOnce(16).make(&client, secs(1)).await;
    assert_eq!(ejected(&caller, 4), ["iad-0", "iad-1"]);
    assert_eq!(nodes.take_share("iad-0"), 0.0);

    (2..4).for_each(|at| nodes.set(&format!("iad-{at}"), Behavior::Panics));
    Calls::AtOnce(16).make(&client, secs(1)).await;
    (0..2).for_each(|at| nodes.set(&format!("iad-{at}"), Behavior::Takes(millis(100))));
    Calls::AtOnce(16).make(&client, secs(1)).await;
    // The two nodes that work are restored at once, although their time is not over.
    assert_eq!(ejected(&caller, 4), ["iad-2", "iad-3"]);
}

#[tokio::test(start_paused = true)]
async fn the_only_node_of_a_region_is_called_even_if_it_is_ejected() {
    let nodes = Nodes::default();
    let (_cluster, caller) = iad_and_caller(&nodes, 1).await;
    let client = caller.client::<WorkClient>().on_region("iad");
    nodes.set("iad-0", Behavior::Panics);
    Calls::Each(millis(10)).make(&client, secs(1)).await;
    assert_eq!(ejected(&caller, 1), ["iad-0"]);
    nodes.set("iad-0", Behavior::Takes(millis(5)));
    assert_eq!(client.work(1).await.unwrap(), "iad-0");
    sleep(millis(10)).await;
    assert_eq!(ejected(&caller, 1), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn errors_of_handlers_and_dropped_calls_are_not_failures() {
    let nodes = Nodes::default();
    let (_cluster, caller) = iad_and_caller(&nodes, 2).await;
    let client = caller.client::<WorkClient>().on_region("iad");
    for _ in 0..100 {
        client.fail().await.unwrap().unwrap_err();
        let dropped = tokio::time::timeout(millis(10), client.slow(1_000, Vec::new())).await;
        assert!(dropped.is_err());
    }
    assert_eq!(ejected(&caller, 2), [""; 0]);
    let in_flight = ["iad-0", "iad-1"].map(|name| peer_named(&caller, name).in_flight);
    assert_eq!(in_flight, [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn five_missed_deadlines_in_a_row_eject_a_node() {
    let (nodes, cluster, caller) = nodes_that_take(millis(90), 2).await;
    let client = caller.client::<WorkClient>().on_region("iad");
    // So that the median is known. A deadline that is shorter would not count.
    call_periodically(&client, millis(10), secs(10)).await;
    let client = client.on_node(cluster.node("iad-0").id()).timeout(millis(200));
    nodes.set("iad-0", Behavior::NeverAnswers);
    for missed in 0..5 {
        assert_eq!(ejected(&caller, 2), [""; 0], "after {missed} missed deadlines");
        let error = client.work(0).await.unwrap_err();
        assert!(matches!(error, RpcError::Timeout { .. }), "{error:?}");
    }
    assert_eq!(ejected(&caller, 2), ["iad-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_is_one_failure_however_many_calls_it_had() {
    let nodes = Nodes::default();
    let (cluster, caller) = iad_and_caller(&nodes, 2).await;
    let client = caller.client::<WorkClient>().on_node(cluster.node("iad-0").id());
    let calls: Vec<_> = (0..50).map(|_| tokio::spawn(client.slow(10_000, Vec::new()))).collect();
    sleep(secs(1)).await;
    assert_eq!(peer_named(&caller, "iad-0").in_flight, 50);
    let partition = cluster.partition("iad-0", caller.id().name());
    for call in calls {
        call.await.unwrap().unwrap_err();
    }
    drop(partition);
    sleep(secs(10)).await;
    let peer = peer_named(&caller, "iad-0");
    assert!(!peer.ejected && peer.in_flight == 0, "{peer:?}");
    assert_eq!(client.work(1).await.unwrap(), "iad-0");
}
