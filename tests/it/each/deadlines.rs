//! All calls of a stream have one deadline.

use std::time::Duration;

use flyrpc::{NodeInfo, Nodes, RpcError};
use tokio::time::Instant;

use super::{Load, PlaceClient, cluster_of};
use crate::support::{millis, secs, sleep};

/// Returns the number of replies, of calls that timed out while they ran, and of calls that never started.
fn counts<T: std::fmt::Debug>(
    replies: &[(NodeInfo, Result<T, RpcError>)],
    timeout: Duration,
) -> (usize, usize, usize) {
    let mut counts = (0, 0, 0);
    for (node, result) in replies {
        match result {
            Ok(_) => counts.0 += 1,
            Err(RpcError::Timeout { after, sent, .. }) => {
                assert_eq!(*after, timeout, "counted from the first poll: {result:?}");
                let count = if *sent { &mut counts.1 } else { &mut counts.2 };
                *count += 1;
            }
            Err(error) => panic!("{node}: {error:?}"),
        }
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn calls_that_start_late_end_at_the_deadline_of_the_first() {
    let load = Load::default();
    let cluster = cluster_of(&[("iad", 70)], &load).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let start = Instant::now();
    let replies = place.each(Nodes::all(), |place| place.work(3_000)).collect().await;
    assert_eq!(start.elapsed(), secs(5));
    assert_eq!(counts(&replies, secs(5)), (64, 6, 0));
    sleep(secs(1)).await;
    assert_eq!((load.started(), load.running()), (70, 0));
}

#[tokio::test(start_paused = true)]
async fn calls_that_have_not_started_by_the_deadline_never_start() {
    let load = Load::default();
    let cluster = cluster_of(&[("iad", 70)], &load).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let start = Instant::now();
    let replies = place.timeout(secs(1)).each(Nodes::others(), |place| place.work(60_000));
    let replies = replies.collect().await;
    assert_eq!(start.elapsed(), secs(1));
    assert_eq!(counts(&replies, secs(1)), (0, 64, 5));
    sleep(secs(1)).await;
    assert_eq!((load.started(), load.running()), (64, 0));
    let never_started = replies.last().unwrap().1.as_ref().unwrap_err();
    assert_eq!(
        never_started.to_string(),
        "Place.work timed out after 1s before a node was reached"
    );
}

#[tokio::test(start_paused = true)]
async fn the_timeout_is_the_methods_unless_the_client_or_the_closure_sets_it() {
    let cluster = cluster_of(&[("iad", 2), ("hkg", 1)], &Load::default()).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let long = |place: PlaceClient| place.work_to_the_end(60_000);
    let closure = |place: PlaceClient| place.timeout(secs(3)).work_to_the_end(60_000);
    let streams = [
        (place.each(Nodes::all(), long), 2),
        (place.timeout(secs(1)).each(Nodes::all(), long), 1),
        (place.timeout(secs(1)).each(Nodes::all(), closure), 3),
    ];
    for (replies, expected) in streams {
        let start = Instant::now();
        let replies = replies.collect().await;
        assert_eq!(start.elapsed(), secs(expected));
        assert_eq!(counts(&replies, secs(expected)), (0, 3, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_the_first_poll() {
    let cluster = cluster_of(&[("iad", 2)], &Load::default()).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let replies = place.each(Nodes::all(), |place| place.work(4_000));
    sleep(secs(60)).await;
    assert_eq!(counts(&replies.collect().await, secs(5)), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_second_call_of_a_closure_has_the_same_deadline() {
    let load = Load::default();
    let cluster = cluster_of(&[("iad", 1), ("hkg", 1)], &load).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let start = Instant::now();
    let replies = place.each(Nodes::all(), |place| async move {
        place.work(3_000).await?;
        place.work(3_000).await
    });
    assert_eq!(counts(&replies.collect().await, secs(5)), (0, 2, 0));
    assert_eq!(start.elapsed(), secs(5));
    sleep(millis(500)).await;
    assert_eq!((load.started(), load.running()), (4, 0));
}
