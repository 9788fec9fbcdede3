//! Paths with little bandwidth, long round trips, or both. Bytes that were given up are not sent, and
//! long bodies do not starve other calls.

use std::time::Duration;

use flyrpc::{Refusal, RpcError};
use flyrpc_testkit::SimCluster;
use tokio::{task::JoinSet, time::Instant};

use crate::support::{Counts, ProbeClient, iad_and_hkg, millis, probe_cluster, secs, sleep};

/// A kilobyte per second.
const KB: u64 = 1_000;

/// Returns the time that `bytes` bytes take on a path of `bandwidth` bytes per second.
fn transfer_time(bytes: u64, bandwidth: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / bandwidth as f64)
}

/// A cluster of iad-0 and hkg-0, and a client on hkg-0 for calls to iad.
async fn from_hkg_to_iad(cluster: &SimCluster, timeout: Duration) -> ProbeClient {
    let hkg = cluster.node("hkg-0");
    sleep(secs(3)).await;
    hkg.client::<ProbeClient>().on_region("iad").timeout(timeout)
}

/// Returns the elapsed time and the output of `future`.
async fn timed<T>(future: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let value = future.await;
    (start.elapsed(), value)
}

#[tokio::test(start_paused = true)]
async fn replies_that_nobody_waits_for_are_not_sent() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let probe = from_hkg_to_iad(&cluster, secs(5)).await;
    let _slow = cluster.throttle("iad", "hkg", 100 * KB);
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        calls.spawn(probe.produce(1 << 20));
    }
    for result in calls.join_all().await {
        assert!(matches!(result, Err(RpcError::Timeout { .. })), "{result:?}");
    }
    let alone = transfer_time(1 << 20, 100 * KB);
    let (took, reply) = timed(probe.timeout(secs(300)).produce(1 << 20)).await;
    assert_eq!(reply.unwrap().len(), 1 << 20);
    assert!(took < alone + millis(1_000), "{took:?} instead of {alone:?}");
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_refused_request_is_not_sent() {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts)
        .region("iad", 1)
        .region("hkg", 1)
        .configure(|_, builder| builder.max_in_flight(1))
        .start()
        .await;
    let probe = from_hkg_to_iad(&cluster, secs(300)).await;
    let _slow = cluster.throttle("iad", "hkg", 1_000 * KB);
    let held = tokio::spawn(probe.slow(2_000));
    sleep(millis(500)).await;
    for _ in 0..5 {
        let result = probe.echo(vec![1; 8_000_000]).await;
        let refused = matches!(result, Err(RpcError::Refused { reason: Refusal::Overloaded, .. }));
        assert!(refused, "{result:?}");
    }
    held.await.unwrap().unwrap();
    // An integer of one byte is encoded as one byte.
    let alone = transfer_time(2 * 8_000_000, 1_000 * KB);
    let (took, reply) = timed(probe.echo(vec![1; 8_000_000])).await;
    reply.unwrap();
    assert!(took < alone + millis(1_000), "{took:?} instead of {alone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_reply_arrives_on_a_very_slow_path() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let probe = from_hkg_to_iad(&cluster, secs(120)).await;
    let _slow = cluster.throttle("iad", "hkg", 20 * KB);
    let (took, reply) = timed(probe.produce(1 << 20)).await;
    assert_eq!(reply.unwrap().len(), 1 << 20);
    let alone = transfer_time(1 << 20, 20 * KB);
    assert!(took < alone + millis(1_500), "{took:?} instead of {alone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_request_arrives_on_a_very_slow_path() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let probe = from_hkg_to_iad(&cluster, secs(120)).await;
    let _slow = cluster.throttle("iad", "hkg", 20 * KB);
    let (took, reply) = timed(probe.echo(vec![1; 500_000])).await;
    assert_eq!(reply.unwrap().len(), 500_000);
    let alone = transfer_time(2 * 500_000, 20 * KB);
    assert!(took < alone + millis(1_500), "{took:?} instead of {alone:?}");
}

#[tokio::test(start_paused = true)]
async fn small_calls_pass_a_long_reply_on_a_slow_path() {
    for bandwidth in [20 * KB, 100 * KB, 1_000 * KB] {
        let cluster = iad_and_hkg(&Counts::default()).await;
        let probe = from_hkg_to_iad(&cluster, secs(300)).await;
        let _slow = cluster.throttle("iad", "hkg", bandwidth);
        let (alone, _) = timed(probe.shout("a".into())).await;
        let bulk = tokio::spawn(probe.produce(20 * bandwidth as usize));
        let mut delays = Vec::new();
        while !bulk.is_finished() {
            let (took, result) = timed(probe.timeout(secs(30)).shout("a".into())).await;
            result.unwrap();
            delays.push(took - alone);
            sleep(millis(90)).await;
        }
        bulk.await.unwrap().unwrap();
        // The first calls also wait for the bytes that were sent before the speed of the path was known.
        assert!(delays[0] < secs(3), "{bandwidth}: {delays:?}");
        assert!(delays[5..].iter().all(|delay| *delay <= millis(404)), "{bandwidth}: {delays:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn small_calls_pass_long_requests_and_replies_of_many_callers() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let probe = from_hkg_to_iad(&cluster, secs(300)).await;
    let (alone, _) = timed(probe.shout("a".into())).await;
    let _slow = cluster.throttle("iad", "hkg", 2_000 * KB);
    let mut bulk = JoinSet::new();
    for _ in 0..10 {
        bulk.spawn(probe.echo(vec![1; 4_000_000]));
    }
    sleep(secs(1)).await;
    while bulk.try_join_next().is_none() {
        let (took, result) = timed(probe.timeout(secs(30)).shout("a".into())).await;
        result.unwrap();
        assert!(took <= alone + millis(404), "{took:?}");
        sleep(millis(90)).await;
    }
}

/// Makes six calls per second for 30 s, each with a reply of `size` bytes. Returns how many of them
/// succeed.
async fn successes_under_overload(bandwidth: u64, size: usize) -> usize {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let probe = from_hkg_to_iad(&cluster, secs(5)).await;
    let _slow = cluster.throttle("iad", "hkg", bandwidth);
    let mut calls = JoinSet::new();
    for _ in 0..180 {
        calls.spawn(probe.produce(size));
        sleep(millis(1_000 / 6)).await;
    }
    calls.join_all().await.iter().filter(|result| result.is_ok()).count()
}

#[tokio::test(start_paused = true)]
async fn under_threefold_overload_most_of_the_bandwidth_serves_calls_in_time() {
    // At most 60 could succeed.
    let successes = successes_under_overload(2_000 * KB, 1_000_000).await;
    assert!(successes >= 40, "{successes}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_room_are_sent_in_order_and_all_succeed() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let probe = from_hkg_to_iad(&cluster, secs(120)).await;
    let _slow = cluster.throttle("iad", "hkg", 1_000 * KB);
    let mut calls = JoinSet::new();
    for index in 0..1_000 {
        let probe = probe.clone();
        calls.spawn(async move { (index, probe.echo(vec![1; 10_000]).await) });
    }
    let mut order = Vec::new();
    while let Some(call) = calls.join_next().await {
        let (index, result) = call.unwrap();
        assert_eq!(result.unwrap().len(), 10_000);
        order.push(index);
    }
    assert!(order.is_sorted(), "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_counts_as_in_flight_until_its_reply_is_written() {
    let cluster = probe_cluster(&Counts::default())
        .region("iad", 1)
        .region("hkg", 1)
        .configure(|_, builder| builder.max_in_flight(2))
        .start()
        .await;
    let probe = from_hkg_to_iad(&cluster, secs(60)).await;
    let _slow = cluster.throttle("iad", "hkg", 1_000 * KB);
    let replies = [tokio::spawn(probe.produce(2_000_000)), tokio::spawn(probe.produce(2_000_000))];
    sleep(secs(1)).await;
    let refused = probe.shout("a".into()).await;
    assert!(matches!(refused, Err(RpcError::Refused { .. })), "{refused:?}");
    for reply in replies {
        reply.await.unwrap().unwrap();
    }
    probe.shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_ends_its_reply_at_once() {
    let cluster = probe_cluster(&Counts::default())
        .region("iad", 1)
        .region("hkg", 1)
        .configure(|_, builder| builder.max_in_flight(1))
        .start()
        .await;
    let probe = from_hkg_to_iad(&cluster, secs(600)).await;
    let _slow = cluster.throttle("iad", "hkg", 100 * KB);
    for millis_later in [300, 3_000] {
        let dropped = probe.produce(30_000_000);
        assert!(tokio::time::timeout(millis(millis_later), dropped).await.is_err());
        sleep(secs(1)).await;
        // The permit of the dropped call has been released, and the path is free.
        let (took, result) = timed(probe.shout("a".into())).await;
        result.unwrap();
        assert!(took < millis(404), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_round_trip_delays_calls_by_no_more_than_itself() {
    for jump in [1_000, 3_000, 4_000] {
        let cluster = iad_and_hkg(&Counts::default()).await;
        let probe = from_hkg_to_iad(&cluster, secs(60)).await;
        let (alone, _) = timed(probe.shout("a".into())).await;
        let mut calls = JoinSet::new();
        let calling = async {
            for _ in 0..200 {
                let probe = probe.clone();
                calls.spawn(async move { timed(probe.shout("a".into())).await });
                sleep(millis(100)).await;
            }
        };
        let jumping = async {
            sleep(millis(5_050)).await;
            cluster.slow("iad", "hkg", millis(jump / 2)).keep();
            sleep(secs(8)).await;
            cluster.heal_all();
        };
        tokio::join!(calling, jumping);
        for (took, result) in calls.join_all().await {
            result.unwrap();
            assert!(took <= alone + millis(jump), "{jump}: {took:?}");
        }
    }
}
