//! Copies of settings are dropped when the settings are written, also after a node has missed it.

use std::time::Duration;

use flyrpc::{Env, Node, StartError};
use flyrpc_examples::patterns::cache::{
    CHECK_PERIOD, Database, INVALIDATE_TIMEOUT, MAX_AGE, RETRY_PERIOD, SettingsClient, start,
};
use flyrpc_testkit::{Release, SimCluster};
use tokio::time::{Instant, sleep};

use crate::{ms, regions, secs};

/// The times that the database takes to read a setting, and to confirm a write.
const READ: Duration = ms(10);
const WRITE: Duration = ms(5);

async fn cluster() -> SimCluster {
    let database = Database::default();
    let release = Release::new().boot(move |machine, builder| {
        let database = database.clone();
        async move {
            let (node, task) = start(builder, database).await?;
            // Freezes and crashes with its machine, unlike a task of `tokio::spawn`.
            machine.env().spawn(Box::pin(task));
            Ok::<_, StartError>(node)
        }
    });
    regions().release(release).start().await
}

/// Reads a setting on a node.
async fn get(cluster: &SimCluster, node: &str, key: &str) -> Option<String> {
    let node = cluster.node(node);
    let settings = node.client::<SettingsClient>().on_node(node.id());
    settings.get(key.into()).await.unwrap().unwrap()
}

/// Writes a setting in the primary region.
async fn set(cluster: &SimCluster, key: &str, value: &str) {
    let settings: SettingsClient = cluster.node("iad-0").client();
    settings.set(key.into(), value.into()).await.unwrap();
}

fn some(value: &str) -> Option<String> {
    Some(value.into())
}

/// Waits until all nodes are linked, and have compared numbers. They may first wait for a comparison that
/// times out.
async fn caught_up(cluster: &SimCluster) {
    cluster.settled().await;
    sleep(INVALIDATE_TIMEOUT + RETRY_PERIOD + secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_read_takes_a_round_trip_once() {
    let cluster = cluster().await;
    set(&cluster, "color", "red").await;
    for (node, first) in [("iad-1", READ), ("fra-0", ms(90) + READ), ("hkg-0", ms(200) + READ)] {
        let start = Instant::now();
        assert_eq!(get(&cluster, node, "color").await, some("red"));
        assert_eq!(start.elapsed(), first, "on {node}");
    }
    let start = Instant::now();
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("red"));
    assert_eq!(start.elapsed(), ms(0));
}

#[tokio::test(start_paused = true)]
async fn a_write_is_visible_in_all_regions_when_it_returns() {
    let cluster = cluster().await;
    for value in ["red", "green", "blue"] {
        set(&cluster, "color", value).await;
        for node in cluster.names() {
            assert_eq!(get(&cluster, &node, "color").await, some(value), "on {node}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_drops_no_other_copies() {
    let cluster = cluster().await;
    set(&cluster, "color", "red").await;
    get(&cluster, "hkg-0", "color").await;
    set(&cluster, "size", "small").await;
    let start = Instant::now();
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("red"));
    assert_eq!(start.elapsed(), ms(0));
}

/// Freezes hkg-0 while the setting that it has a copy of is written.
async fn write_during_a_freeze(cluster: &SimCluster, freeze: Duration) {
    set(cluster, "color", "red").await;
    assert_eq!(get(cluster, "hkg-0", "color").await, some("red"));
    let frozen = cluster.frozen("hkg-0");
    let start = Instant::now();
    set(cluster, "color", "green").await;
    assert_eq!(start.elapsed(), WRITE + INVALIDATE_TIMEOUT, "the invalidation was given up");
    sleep(freeze - start.elapsed()).await;
    drop(frozen);
    assert_eq!(get(cluster, "hkg-0", "color").await, some("red"), "the invalidation was missed");
}

#[tokio::test(start_paused = true)]
async fn a_node_frozen_during_a_write_catches_up_at_its_next_check() {
    let cluster = cluster().await;
    // Too short for the link to be lost.
    write_during_a_freeze(&cluster, secs(3)).await;
    sleep(CHECK_PERIOD).await;
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("green"));
    let trace = cluster.trace();
    assert_eq!(trace.events().down("hkg-0").count(), 0, "{trace}");
}

#[tokio::test(start_paused = true)]
async fn a_node_frozen_during_a_write_catches_up_with_the_next_write() {
    let cluster = cluster().await;
    write_during_a_freeze(&cluster, secs(3)).await;
    set(&cluster, "size", "small").await;
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("green"));
}

#[tokio::test(start_paused = true)]
async fn a_node_frozen_until_its_links_are_lost_catches_up_when_they_are_back() {
    let cluster = cluster().await;
    write_during_a_freeze(&cluster, secs(30)).await;
    caught_up(&cluster).await;
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("green"));
}

/// Replaces a node by a new boot, which counts its invalidations from 1.
async fn restart_gracefully(cluster: &SimCluster, node: &str) {
    let before = cluster.node(node).id().clone();
    cluster.shutdown(node).await;
    cluster.restart(node).await;
    assert_ne!(*cluster.node(node).id(), before);
}

#[tokio::test(start_paused = true)]
async fn a_node_frozen_during_a_write_catches_up_although_the_writer_was_restarted() {
    // With one and with no other node in the primary region that was not restarted.
    for restarted in [vec!["iad-0"], vec!["iad-0", "iad-1"]] {
        for crash in [false, true] {
            let cluster = cluster().await;
            set(&cluster, "color", "red").await;
            assert_eq!(get(&cluster, "hkg-0", "color").await, some("red"));
            let frozen = cluster.frozen("hkg-0");
            set(&cluster, "color", "green").await;
            for node in &restarted {
                if crash {
                    cluster.crash(node);
                    cluster.restart(node).await;
                } else {
                    restart_gracefully(&cluster, node).await;
                }
            }
            drop(frozen);
            caught_up(&cluster).await;
            assert_eq!(get(&cluster, "hkg-0", "color").await, some("green"), "{restarted:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_invalidations_of_a_restarted_writer_count_from_one_again() {
    let cluster = cluster().await;
    for value in ["red", "green", "blue"] {
        set(&cluster, "color", value).await;
    }
    restart_gracefully(&cluster, "iad-0").await;
    caught_up(&cluster).await;
    for value in ["yellow", "white"] {
        get(&cluster, "hkg-0", "color").await;
        get(&cluster, "hkg-0", "size").await;
        set(&cluster, "color", value).await;
        let start = Instant::now();
        assert_eq!(get(&cluster, "hkg-0", "size").await, None);
        assert_eq!(start.elapsed(), ms(0), "no number was skipped, so other copies were kept");
        assert_eq!(get(&cluster, "hkg-0", "color").await, some(value));
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_during_a_partition_is_visible_soon_after_it_heals() {
    for seconds in [2, 4, 8, 120] {
        let cluster = cluster().await;
        set(&cluster, "color", "red").await;
        get(&cluster, "hkg-0", "color").await;
        // Only iad-0 is cut off. The requests in flight are lost, and so is the link if this lasts.
        let cut = cluster.partition("iad-0", "hkg-0");
        set(&cluster, "color", "green").await;
        sleep(secs(seconds)).await;
        drop(cut);
        sleep(CHECK_PERIOD + INVALIDATE_TIMEOUT).await;
        assert_eq!(get(&cluster, "hkg-0", "color").await, some("green"), "after {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_partition_copies_are_outdated_until_it_heals() {
    let cluster = cluster().await;
    set(&cluster, "color", "red").await;
    get(&cluster, "hkg-0", "color").await;
    let cut = cluster.partition("iad", "hkg");
    set(&cluster, "color", "green").await;
    sleep(secs(60)).await;
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("red"));
    drop(cut);
    caught_up(&cluster).await;
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("green"));
}

#[tokio::test(start_paused = true)]
async fn a_write_just_before_a_crash_is_visible_once_the_crash_is_detected() {
    let cluster = cluster().await;
    set(&cluster, "color", "red").await;
    get(&cluster, "hkg-0", "color").await;
    let cut = cluster.partition("iad-0", "hkg-0");
    set(&cluster, "color", "green").await;
    cluster.crash("iad-0");
    drop(cut);
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("red"));
    sleep(secs(10)).await;
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("green"));
}

#[tokio::test(start_paused = true)]
async fn a_write_of_a_node_that_crashed_behind_a_partition_is_visible_after_the_maximum_age() {
    let cluster = cluster().await;
    set(&cluster, "color", "red").await;
    cluster.partition("iad-0", "hkg-0").keep();
    // The loss of the link was detected, and values are read through iad-1.
    sleep(secs(30)).await;
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("red"));
    set(&cluster, "color", "green").await;
    cluster.crash("iad-0");
    sleep(secs(60)).await;
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("red"));
    sleep(MAX_AGE).await;
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("green"));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_was_loaded_before_an_invalidation_is_not_stored_after_it() {
    let cluster = cluster().await;
    set(&cluster, "color", "red").await;
    let settings: SettingsClient = cluster.node("hkg-0").client();
    let load = tokio::spawn(settings.get("color".into()));
    sleep(ms(100) + ms(1)).await; // the database has read `red`, but not returned it yet
    set(&cluster, "color", "green").await;
    assert_eq!(load.await.unwrap().unwrap(), Ok(some("red")));
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("green"));
}

#[tokio::test(start_paused = true)]
async fn a_write_drops_all_copies_although_its_caller_gave_up() {
    let cluster = cluster().await;
    set(&cluster, "color", "red").await;
    get(&cluster, "hkg-0", "color").await;
    let settings: SettingsClient = cluster.node("fra-0").client();
    let write = tokio::spawn(settings.set("color".into(), "green".into()));
    sleep(ms(1)).await;
    write.abort(); // would cancel the handler between the write and the invalidation
    sleep(ms(200)).await;
    assert_eq!(get(&cluster, "hkg-0", "color").await, some("green"));
}

#[tokio::test]
async fn a_node_ends_when_its_last_handle_is_dropped() {
    let builder = Node::builder().region("iad").primary_region("iad");
    let (node, task) = start(builder, Database::default()).await.unwrap();
    let task = tokio::spawn(task);
    let weak = node.downgrade();
    drop(node);
    task.await.unwrap();
    assert!(weak.upgrade().is_none());
}
