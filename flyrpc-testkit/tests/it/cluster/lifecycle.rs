use flyrpc::{Event, RpcError};
use tokio::time::{Instant, sleep};

use super::service::{cluster, desk, ms, secs, v1};

#[tokio::test(start_paused = true)]
async fn a_crash_in_the_middle_of_a_call_fails_it_after_half_a_round_trip() {
    let cluster = cluster().await;
    let hkg = desk(&cluster, "iad-0").on_region("hkg");
    let call = tokio::spawn(hkg.slow(1_000));
    sleep(ms(500)).await;
    let start = Instant::now();
    cluster.crash("hkg-0");
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, RpcError::Disconnected { .. }), "{error}");
    assert!(error.may_have_executed());
    assert_eq!(start.elapsed(), ms(101));
    assert!(!cluster.is_up("hkg-0"));
}

#[tokio::test(start_paused = true)]
async fn calls_avoid_a_crashed_node_of_their_region() {
    let cluster = cluster().await;
    cluster.crash("iad-0");
    let desk = desk(&cluster, "hkg-0").on_primary();
    sleep(ms(102)).await;
    for _ in 0..20 {
        assert_eq!(desk.name().await.unwrap(), "iad-1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_whose_only_node_crashed_has_no_node() {
    let cluster = cluster().await;
    cluster.crash("hkg-0");
    sleep(ms(102)).await;
    let call = desk(&cluster, "iad-0").on_region("hkg").name().await;
    assert!(matches!(call, Err(RpcError::NoNode { .. })), "{call:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_keeps_its_address_and_has_a_new_id_and_state() {
    let cluster = cluster().await;
    let before = cluster.node("hkg-0").info().clone();
    let hkg = desk(&cluster, "iad-0").on_region("hkg");
    hkg.slow(0).await.unwrap();
    cluster.crash("hkg-0");
    cluster.restart("hkg-0").await;
    cluster.settled().await;
    let after = cluster.node("hkg-0").info().clone();
    assert_eq!(before.addr(), after.addr());
    assert_ne!(before.id(), after.id());
    assert_eq!(hkg.started().await.unwrap(), 0);
    let gone = desk(&cluster, "iad-0").on_node(before.id()).name().await;
    assert!(matches!(gone, Err(RpcError::NoNode { .. })), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_finishes_running_calls_and_leaves() {
    let cluster = cluster().await;
    let mut events = cluster.node("iad-0").events();
    let call = tokio::spawn(desk(&cluster, "iad-0").on_region("hkg").slow(1_000));
    sleep(ms(200)).await;
    cluster.shutdown("hkg-0").await;
    assert_eq!(call.await.unwrap().unwrap(), 1_000);
    loop {
        match events.next().await.expect("the node runs") {
            Event::Left(node) => break assert_eq!(node.name(), "hkg-0"),
            Event::Down(node) => panic!("{node:?} was reported down"),
            _ => {}
        }
    }
    cluster.restart("hkg-0").await;
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_frozen_node_that_is_shut_down_is_crashed_at_the_timeout() {
    let cluster = cluster().await;
    cluster.freeze("hkg-0");
    let start = Instant::now();
    cluster.shutdown("hkg-0").await;
    assert_eq!(start.elapsed(), secs(300));
    cluster.restart("hkg-0").await;
    cluster.settled().await;
    desk(&cluster, "iad-0").on_region("hkg").name().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nodes_can_be_added_to_old_and_new_regions() {
    let cluster = cluster().await;
    let added = cluster.add_node("iad").await;
    assert_eq!(added.id().name(), "iad-2");
    let name = cluster.add_node_with("syd", v1()).await;
    assert_eq!(name, "syd-0");
    let start = Instant::now();
    assert_eq!(desk(&cluster, "hkg-0").on_region("syd").name().await.unwrap(), "syd-0");
    assert_eq!(start.elapsed(), ms(125));
    assert_eq!(cluster.nodes().len(), 5);
}
