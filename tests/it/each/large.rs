//! A broadcast in a large cluster, while machines fail.

use flyrpc::{Nodes, RpcError, Target};
use tokio::time::{Instant, timeout};

use super::{Load, PlaceClient, cluster_of};
use crate::support::{millis, secs, sleep};

const REGIONS: &[(&str, usize)] = &[("iad", 28), ("fra", 22), ("hkg", 30)];

/// The machines that are lost at the instant of the call, and those that are frozen then.
const LOST: [&str; 3] = ["iad-7", "fra-3", "hkg-29"];
const FROZEN: [&str; 2] = ["iad-20", "hkg-0"];

#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_all_live_nodes_within_two_round_trips() {
    let load = Load::default();
    let cluster = cluster_of(REGIONS, &load);
    let cluster = cluster.rtt("iad", "fra", millis(90)).rtt("iad", "hkg", millis(200));
    let cluster = cluster.start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let mut replies = place.each(Nodes::all(), |place| place.name());
    for machine in LOST {
        // So that no reset tells the caller.
        cluster.partition(machine, "iad-0").keep();
        cluster.crash_machine(machine);
    }
    FROZEN.iter().for_each(|machine| cluster.freeze(machine));
    let start = Instant::now();
    let mut failed = Vec::new();
    let mut replied = 0;
    while let Some((node, result)) = replies.next().await {
        match result {
            Ok(name) => {
                assert_eq!(name, node.name());
                assert!(start.elapsed() <= millis(400), "{name}: {:?}", start.elapsed());
                replied += 1;
            }
            Err(error) => {
                // A call that started late may have found that the link was lost in the meantime.
                let named = match &error {
                    RpcError::NoNode { target: Target::Node(id), .. } => id,
                    RpcError::Timeout { node: Some(node), .. }
                    | RpcError::Disconnected { node: Some(node), .. } => node.id(),
                    error => panic!("{error:?}"),
                };
                assert_eq!(named, node.id());
                failed.push(node.name().to_owned());
            }
        }
    }
    assert!(start.elapsed() <= secs(5), "{:?}", start.elapsed());
    let mut expected = [&LOST[..], &FROZEN].concat();
    expected.sort_unstable();
    failed.sort_unstable();
    assert_eq!((replied, failed), (75, expected.iter().map(ToString::to_string).collect()));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_broadcast_leaves_no_handler_running() {
    let load = Load::default();
    let cluster = cluster_of(REGIONS, &load).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let mut replies = place.timeout(secs(60)).each(Nodes::all(), |place| place.work(1_000));
    LOST.iter().for_each(|machine| cluster.crash_machine(machine));
    FROZEN.iter().for_each(|machine| cluster.freeze(machine));
    assert!(
        timeout(millis(1_250), async { while replies.next().await.is_some() {} }).await.is_err()
    );
    assert!(load.running() > 10, "{}", load.running());
    drop(replies);
    sleep(millis(500)).await;
    assert_eq!(load.running(), 0);
    let started = load.started();
    FROZEN.iter().for_each(|machine| cluster.resume(machine));
    sleep(secs(3)).await;
    assert_eq!((load.started(), load.running()), (started, 0), "nothing starts later");
}
