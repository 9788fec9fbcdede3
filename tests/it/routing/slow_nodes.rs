//! Slow nodes get few calls.

use super::{
    Behavior, Nodes, WorkClient, call_at_once, call_periodically, iad_and_caller, quantile, random,
};
use crate::support::{millis, peer_named, secs, sleep};

/// The endpoints of tower's example `tower-balance`, by the time that they take at most.
const TOWER: [u64; 10] = [1, 5, 10, 10, 10, 100, 100, 100, 500, 1_000];

async fn tower(concurrent: u64, calls: u64) {
    let nodes = Nodes::default();
    for (at, up_to) in TOWER.into_iter().enumerate() {
        nodes.set(&format!("iad-{at}"), Behavior::Takes(millis(up_to)));
    }
    let (cluster, caller) = iad_and_caller(&nodes, TOWER.len()).await;
    let client: WorkClient = caller.client();
    let picked = client.on_region("iad");
    let times = call_at_once(concurrent, calls, move |turn| picked.work(random(turn))).await;
    let p999 = quantile(&times, 0.999);
    println!("p50 {:?}, p99 {:?}, p999 {p999:?}", quantile(&times, 0.5), quantile(&times, 0.99));
    assert!(
        times.len() as u64 == calls / concurrent * concurrent && p999 <= millis(120),
        "{p999:?}"
    );

    let ids: Vec<_> = (0..10).map(|at| cluster.node(format!("iad-{at}")).id().clone()).collect();
    let round_robin =
        move |turn: u64| client.on_node(&ids[(turn % 10) as usize]).work(random(turn));
    let times = call_at_once(concurrent, calls.min(5_000), round_robin).await;
    let p999 = quantile(&times, 0.999);
    assert!(p999 >= millis(800), "round robin: {p999:?}");
}

#[tokio::test(start_paused = true)]
#[ignore = "takes half a minute in a debug build; the benchmark `routing` measures the same"]
async fn slow_nodes_do_not_determine_the_slowest_calls() {
    tower(50, 20_000).await;
}

/// The size of tower's example.
#[tokio::test(start_paused = true)]
#[ignore = "takes a minute in a debug build"]
async fn slow_nodes_do_not_determine_the_slowest_of_100_000_calls() {
    tower(500, 100_000).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_becomes_slow_gets_few_calls_and_returns_once_it_recovers() {
    let nodes = Nodes::default();
    (0..3).for_each(|at| nodes.set(&format!("iad-{at}"), Behavior::Takes(millis(10))));
    let (_cluster, caller) = iad_and_caller(&nodes, 3).await;
    let client = caller.client::<WorkClient>().on_region("iad");
    let before = call_periodically(&client, millis(3), secs(5)).await;
    let share = nodes.take_share("iad-0");
    assert!((0.25..0.42).contains(&share), "{share}");

    nodes.set("iad-0", Behavior::Takes(millis(100)));
    call_periodically(&client, millis(3), secs(2)).await;
    nodes.take_share("iad-0");
    let after = call_periodically(&client, millis(3), secs(20)).await;
    let share = nodes.take_share("iad-0");
    assert!(share <= 0.01, "{share}");
    let [before, after] = [before, after].map(|times| quantile(&times, 0.99));
    assert!(after <= before.mul_f64(1.5), "{before:?} before, {after:?} after");

    nodes.set("iad-0", Behavior::Takes(millis(10)));
    call_periodically(&client, millis(3), secs(25)).await;
    nodes.take_share("iad-0");
    call_periodically(&client, millis(3), secs(5)).await;
    let share = nodes.take_share("iad-0");
    assert!(share >= 0.2, "{share}");
}

#[tokio::test(start_paused = true)]
async fn few_calls_wait_on_a_node_that_is_frozen() {
    let nodes = Nodes::default();
    (0..2).for_each(|at| nodes.set(&format!("iad-{at}"), Behavior::Takes(millis(1))));
    let (cluster, caller) = iad_and_caller(&nodes, 2).await;
    let client = caller.client::<WorkClient>().on_region("iad");
    let calls = tokio::spawn(async move {
        call_periodically(&client, millis(5), secs(4)).await;
    });
    sleep(secs(1)).await;
    cluster.freeze("iad-0");
    // It is quiet after 2 heartbeats.
    sleep(millis(2_500)).await;
    let frozen = peer_named(&caller, "iad-0");
    assert!((1..=5).contains(&frozen.in_flight), "{frozen:?}");
    cluster.resume("iad-0");
    calls.await.unwrap();
    assert_eq!(peer_named(&caller, "iad-0").in_flight, 0);
}
