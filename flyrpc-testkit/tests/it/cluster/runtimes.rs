use std::time::Duration;

use flyrpc::RpcError;
use flyrpc_testkit::SimCluster;
use tokio::time::Instant;

use super::service::{builder, desk, ms, v2};

/// Runs on every kind of runtime. Asserts only lower bounds on times, since they are exact only in paused
/// time.
async fn calls_partitions_and_a_rollout(cluster: SimCluster) {
    let hkg = desk(&cluster, "hkg-0");
    let start = Instant::now();
    hkg.on_primary().name().await.unwrap();
    assert!(start.elapsed() >= ms(20), "{:?}", start.elapsed());

    let cut = cluster.partition("iad", "hkg");
    let call = hkg.on_primary().timeout(ms(200)).name().await;
    assert!(matches!(call, Err(RpcError::Timeout { .. })), "{call:?}");
    drop(cut);
    hkg.on_primary().name().await.unwrap();

    cluster.crash("iad-1");
    cluster.restart("iad-1").await;
    cluster.settled().await;
    cluster.roll(v2()).await;
    let desk: super::service::v2::DeskClient = cluster.node("hkg-0").client();
    assert_eq!(desk.on_primary().version().await.unwrap(), 2);
}

async fn near() -> SimCluster {
    builder().rtt("iad", "hkg", Duration::from_millis(20)).start().await
}

#[tokio::test(start_paused = true)]
async fn a_cluster_runs_in_paused_time() {
    calls_partitions_and_a_rollout(near().await).await;
}

#[tokio::test]
async fn a_cluster_runs_in_real_time() {
    calls_partitions_and_a_rollout(near().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_runs_on_several_threads() {
    calls_partitions_and_a_rollout(near().await).await;
}
