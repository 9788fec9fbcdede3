//! The load of nodes and links.

use flyrpc::Node;

use super::{Nodes, WorkClient, iad_and_caller};
use crate::support::{millis, peer_named, secs, sleep};

#[tokio::test(start_paused = true)]
async fn peers_report_the_calls_in_flight_and_the_load_of_other_callers_counts() {
    let nodes = Nodes::default();
    let (cluster, caller) = iad_and_caller(&nodes, 3).await;
    let other = cluster.node("iad-2");
    let to = |node: &Node| other.client::<WorkClient>().on_node(node.id());
    let (busy, idle) = (cluster.node("iad-0"), cluster.node("iad-1"));
    let mut calls: Vec<_> =
        (0..40).map(|_| tokio::spawn(to(&busy).slow(60_000, Vec::new()))).collect();
    calls.push(tokio::spawn(
        caller.client::<WorkClient>().on_node(busy.id()).slow(60_000, Vec::new()),
    ));
    sleep(secs(3)).await;
    let peer = peer_named(&caller, "iad-0");
    assert_eq!((peer.in_flight, peer.reported_in_flight), (1, 41));
    assert_eq!(peer_named(&other, "iad-0").in_flight, 40);
    assert_eq!(peer_named(&caller, "iad-1").reported_in_flight, 0);
    let peer = serde_json::to_value(&peer).unwrap();
    assert_eq!((&peer["in_flight"], &peer["ejected"]), (&1.into(), &false.into()));

    // A call that this node makes for the first time.
    let client = caller.client::<WorkClient>().on_region("iad");
    let mut on_busy = 0;
    for _ in 0..100 {
        on_busy += u32::from(client.work(1).await.unwrap() == busy.id().name());
    }
    assert!(on_busy <= 2, "{on_busy}");
    drop((idle, calls));
}

#[tokio::test(start_paused = true)]
async fn a_congested_link_is_passed_over_while_another_node_is_free() {
    let nodes = Nodes::default();
    let (cluster, caller) = iad_and_caller(&nodes, 2).await;
    let client: WorkClient = caller.client();
    let [slow, free] = ["iad-0", "iad-1"].map(|name| cluster.node(name).id().clone());
    // The other node has more calls in flight, so that only the congestion matters.
    let mut calls: Vec<_> =
        (0..200).map(|_| tokio::spawn(client.on_node(&free).slow(20_000, Vec::new()))).collect();
    cluster.throttle(caller.id().name(), "iad-0", 10_000).keep();
    let fill = || tokio::spawn(client.on_node(&slow).timeout(secs(60)).slow(0, vec![1; 15_000]));
    calls.extend((0..60).map(|_| fill()));
    sleep(millis(100)).await;
    for _ in 0..50 {
        assert_eq!(client.on_region("iad").slow(0, Vec::new()).await.unwrap(), "iad-1");
    }
    drop(calls);
}
