use flyrpc::RpcError;
use tokio::time::{Instant, sleep};

use super::service::{builder, cluster, desk, ms, secs};

#[tokio::test(start_paused = true)]
async fn calls_time_out_during_a_partition_which_heals_with_its_guard() {
    let cluster = cluster().await;
    let desk = desk(&cluster, "hkg-0").on_primary();

    let cut = cluster.partition("iad", "hkg");
    let start = Instant::now();
    let call = desk.timeout(secs(1)).name().await;
    assert!(matches!(call, Err(RpcError::Timeout { .. })), "{call:?}");
    assert_eq!(start.elapsed(), secs(1));

    drop(cut);
    assert!(desk.name().await.unwrap().starts_with("iad-"));
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_survives_a_short_partition() {
    let cluster = cluster().await;
    let call = tokio::spawn(desk(&cluster, "hkg-0").on_primary().slow(100));
    sleep(ms(150)).await;
    let cut = cluster.partition("iad", "hkg");
    sleep(secs(1)).await;
    drop(cut);
    assert_eq!(call.await.unwrap().unwrap(), 100);
}

#[tokio::test(start_paused = true)]
async fn one_way_partitions_leave_the_other_direction_open() {
    let cluster = cluster().await;
    let _cut = cluster.partition_one_way("iad", "hkg");
    let iad = cluster.node("iad-0").id().clone();

    let call = desk(&cluster, "hkg-0").on_node(&iad).timeout(secs(1)).slow(0).await;
    let Err(error) = call else { panic!("the reply was not blocked: {call:?}") };
    assert!(error.may_have_executed(), "{error}");
    assert_eq!(desk(&cluster, "iad-0").started().await.unwrap(), 1);

    let call = desk(&cluster, "iad-0").on_region("hkg").timeout(secs(1)).slow(0).await;
    assert!(matches!(call, Err(RpcError::Timeout { .. })), "{call:?}");
    assert_eq!(desk(&cluster, "hkg-0").on_region("hkg").started().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn all_nodes_are_linked_again_after_a_long_partition() {
    let cluster = cluster().await;
    let cut = cluster.partition("iad", "hkg");
    sleep(secs(120)).await;
    let call = desk(&cluster, "hkg-0").on_primary().name().await;
    assert!(matches!(call, Err(RpcError::NoNode { .. })), "{call:?}");
    drop(cut);
    cluster.settled().await;
    desk(&cluster, "hkg-0").on_primary().name().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_kept_fault_lasts_until_it_is_healed() {
    let cluster = cluster().await;
    cluster.slow("iad", "hkg", ms(50)).keep();
    let desk = desk(&cluster, "hkg-0").on_primary();
    let start = Instant::now();
    desk.name().await.unwrap();
    assert_eq!(start.elapsed(), ms(302));
    cluster.heal("iad", "hkg");
    let start = Instant::now();
    desk.name().await.unwrap();
    assert_eq!(start.elapsed(), ms(202));
}

#[tokio::test(start_paused = true)]
async fn a_frozen_node_replies_when_it_is_resumed() {
    let cluster = cluster().await;
    let hkg = desk(&cluster, "iad-0").on_region("hkg");
    cluster.freeze("hkg-0");
    let start = Instant::now();
    let call = tokio::spawn(hkg.name());
    sleep(ms(900)).await;
    cluster.resume("hkg-0");
    assert_eq!(call.await.unwrap().unwrap(), "hkg-0");
    assert!(start.elapsed() >= ms(900) && start.elapsed() < ms(1_500), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_frozen_node_runs_no_expired_call_when_it_is_resumed() {
    let cluster = cluster().await;
    let frozen = cluster.frozen("hkg-0");
    for _ in 0..8 {
        let call = desk(&cluster, "iad-0").on_region("hkg").timeout(ms(500)).slow(1).await;
        assert!(matches!(call, Err(RpcError::Timeout { .. })), "{call:?}");
    }
    drop(frozen);
    cluster.settled().await;
    assert_eq!(desk(&cluster, "hkg-0").started().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_avoid_a_frozen_node_of_their_region() {
    let cluster = cluster().await;
    cluster.freeze("iad-0");
    sleep(secs(3)).await;
    let desk = desk(&cluster, "hkg-0").on_primary();
    for _ in 0..20 {
        assert_eq!(desk.name().await.unwrap(), "iad-1");
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_clocks_change_no_deadline() {
    let cluster = builder().start().await;
    cluster.skew_ahead("iad-0", secs(3_600));
    cluster.skew_behind("hkg-0", secs(60));
    cluster.drift("iad-1", 200);
    // After a clock jump, a node needs one more round trip to determine the offsets of its peers' clocks.
    sleep(secs(2)).await;
    let desk = desk(&cluster, "hkg-0").on_primary();
    for _ in 0..20 {
        desk.timeout(ms(205)).name().await.unwrap();
        let start = Instant::now();
        let late = desk.timeout(ms(300)).slow(1_000).await;
        assert!(matches!(late, Err(RpcError::Timeout { .. })), "{late:?}");
        assert_eq!(start.elapsed(), ms(300));
    }
}

#[tokio::test(start_paused = true)]
async fn lost_datagrams_do_not_make_nodes_appear_down() {
    let cluster = cluster().await;
    cluster.lose("iad", "hkg", 0.02).keep();
    sleep(secs(120)).await;
    for node in cluster.nodes() {
        assert_eq!(node.nodes_in("iad").len() + node.nodes_in("hkg").len(), 3, "{node:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn bandwidth_is_shared_by_the_calls_between_two_nodes() {
    let cluster = builder().bandwidth(1_000_000).start().await;
    let desk = desk(&cluster, "hkg-0").on_primary();
    let start = Instant::now();
    desk.echo(vec![7; 100_000]).await.unwrap();
    let one = start.elapsed();
    assert!(
        one > ms(400) && one < ms(420),
        "100 kB take at least 100 ms in each direction: {one:?}"
    );

    let iad = cluster.node("iad-0").id().clone();
    let start = Instant::now();
    let (first, second) = tokio::join!(
        desk.on_node(&iad).echo(vec![7; 100_000]),
        desk.on_node(&iad).echo(vec![7; 100_000])
    );
    assert_eq!(first.unwrap().len() + second.unwrap().len(), 200_000);
    assert!(
        start.elapsed() > one + ms(90),
        "two calls took {:?}, one took {one:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn jitter_differs_from_call_to_call_and_from_seed_to_seed() {
    async fn times(seed: u64) -> Vec<u128> {
        let cluster = builder().seed(seed).jitter(ms(15)).start().await;
        let desk = desk(&cluster, "hkg-0").on_primary();
        let mut times = Vec::new();
        for _ in 0..10 {
            let start = Instant::now();
            desk.name().await.unwrap();
            times.push(start.elapsed().as_millis());
        }
        times
    }
    let first = times(1).await;
    assert!(first.iter().all(|time| (202..=232).contains(time)), "{first:?}");
    assert!(first.iter().any(|time| *time != first[0]), "{first:?}");
    assert_ne!(first, times(2).await);
}

#[tokio::test(start_paused = true)]
async fn held_messages_arrive_when_they_are_released() {
    let cluster = cluster().await;
    let hold = cluster.hold("iad", "hkg");
    let call = tokio::spawn(desk(&cluster, "hkg-0").on_primary().name());
    sleep(secs(1)).await;
    assert!(!call.is_finished());
    let start = Instant::now();
    drop(hold);
    call.await.unwrap().unwrap();
    assert_eq!(start.elapsed(), ms(202));
}
