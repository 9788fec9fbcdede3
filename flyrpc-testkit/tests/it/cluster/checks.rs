use flyrpc_testkit::{Release, SimCluster};

use super::service::{builder, cluster, v2};

#[tokio::test(start_paused = true)]
#[should_panic(expected = "there is no node `syd-0`: the nodes are iad-0, iad-1, hkg-0")]
async fn an_unknown_node() {
    cluster().await.node("syd-0");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "region `syd` must have at least one node: omit the region")]
async fn a_region_without_nodes() {
    builder().region("syd", 0).start().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the cluster has no nodes: add some with `.region(\"iad\", 2)`")]
async fn a_cluster_without_nodes() {
    SimCluster::builder().start().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the primary region `syd` has no nodes: add some with `.region(\"syd\"")]
async fn a_primary_region_without_nodes() {
    builder().primary("syd").start().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "no round trip is known between regions")]
async fn a_region_with_an_unknown_round_trip() {
    builder().region("moon", 1).start().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "there is no node `iad-2`: the nodes are iad-0, iad-1, hkg-0")]
async fn a_release_for_a_node_that_does_not_exist() {
    builder().node("iad-2", v2()).start().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(
    expected = "this release does not run flyrpc: use `Release::new()` to serve or configure"
)]
async fn a_release_without_flyrpc_cannot_be_configured() {
    let _ = Release::without_flyrpc().configure(|_, builder| builder);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "node `iad-1` does not run flyrpc")]
async fn the_node_of_a_machine_without_flyrpc() {
    builder().node("iad-1", Release::without_flyrpc()).start().await.node("iad-1");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "node `hkg-0` has crashed: `restart` it first")]
async fn the_node_of_a_machine_that_is_down() {
    let cluster = cluster().await;
    cluster.crash("hkg-0");
    cluster.node("hkg-0");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "node `hkg-0` is running: `crash` it or shut it down before")]
async fn restarting_a_running_node() {
    cluster().await.restart("hkg-0").await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "node `hkg-0` was shut down already: `restart` it before")]
async fn crashing_a_node_that_is_down() {
    let cluster = cluster().await;
    cluster.shutdown("hkg-0").await;
    cluster.crash("hkg-0");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "`syd`")]
async fn a_partition_of_an_unknown_region() {
    let _cut = cluster().await.partition("iad", "syd");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "`iad`")]
async fn a_partition_of_a_region_with_itself() {
    let _cut = cluster().await.partition("iad", "iad");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "region `syd` has no node whose release a new node could run")]
async fn adding_a_node_to_an_unknown_region() {
    cluster().await.add_node("syd").await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "node `iad-0` cannot start")]
async fn an_invalid_setting() {
    builder().configure(|_, builder| builder.max_in_flight(0)).start().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "iad-0 has no link to hkg-0")]
async fn missing_links_are_listed() {
    let cluster = cluster().await;
    let _cut = cluster.partition("iad", "hkg");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    cluster.settled().await;
}
