//! Faults of machines, with and without a crash of the node's process, and hosts without a node.

use std::io::ErrorKind;

use flyrpc::{Env, RpcError};
use tokio::time::{sleep, timeout};

use super::service::{cluster, desk, ms, secs};

const PORT: u16 = 3590;

#[tokio::test(start_paused = true)]
async fn a_crashed_machine_gives_no_response_and_a_crashed_process_refuses() {
    let cluster = cluster().await;
    let outside = cluster.add_host("outside", "hkg");
    let hkg = cluster.node("hkg-0").addr();
    cluster.crash("hkg-0");
    let refused = outside.connect(hkg).await.expect_err("the process has crashed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    cluster.crash_machine("hkg-0");
    assert!(timeout(secs(60), outside.connect(hkg)).await.is_err(), "the machine has crashed");
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_machine_crashed_is_down_until_it_is_restarted() {
    let cluster = cluster().await;
    cluster.crash_machine("hkg-0");
    assert!(!cluster.is_up("hkg-0"));
    sleep(ms(102)).await;
    // The caller dials the node again. A crashed machine does not refuse the connection, so the call
    // fails when connecting times out.
    let call = desk(&cluster, "iad-0").on_region("hkg").name().await;
    assert!(matches!(call, Err(RpcError::NoNode { .. })), "{call:?}");
    cluster.restart("hkg-0").await;
    cluster.settled().await;
    assert_eq!(desk(&cluster, "iad-0").on_region("hkg").name().await.unwrap(), "hkg-0");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_machine_runs_a_program_of_the_test_until_its_node_is_restarted() {
    let cluster = cluster().await;
    let env = cluster.restart_machine("hkg-0");
    assert!(!cluster.is_up("hkg-0"));
    let outside = cluster.add_host("outside", "hkg");
    let listener = env.listen(env.addr(PORT)).await.expect("the node's port is free");
    outside.connect(env.addr(PORT)).await.expect("the program listens");
    drop(listener);
    cluster.restart("hkg-0").await;
    cluster.settled().await;
    assert_eq!(env.listen(env.addr(1)).await.err().map(|e| e.kind()), Some(ErrorKind::NetworkDown));
    assert_eq!(desk(&cluster, "iad-0").on_region("hkg").name().await.unwrap(), "hkg-0");
}

#[tokio::test(start_paused = true)]
async fn kill_accepts_nodes_that_are_up_or_down_and_hosts_without_a_node() {
    let cluster = cluster().await;
    let outside = cluster.add_host("outside", "hkg");
    cluster.kill("hkg-0");
    cluster.kill("hkg-0");
    cluster.kill("outside");
    assert!(!cluster.is_up("hkg-0"));
    let down = outside.listen(outside.addr(PORT)).await.err().expect("the boot has ended");
    assert_eq!(down.kind(), ErrorKind::NetworkDown);
    cluster.restart("hkg-0").await;
    cluster.settled().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "node `hkg-0` has crashed already: `restart` it before")]
async fn a_node_on_a_crashed_machine_does_not_crash_again() {
    let cluster = cluster().await;
    cluster.crash_machine("hkg-0");
    cluster.crash("hkg-0");
}

#[tokio::test(start_paused = true)]
async fn the_network_outlives_the_cluster_and_has_no_connections_left() {
    let cluster = cluster().await;
    let net = cluster.net().clone();
    assert_eq!((cluster.connections(), net.connections()), (3, 3));
    for name in cluster.names() {
        cluster.shutdown(name).await;
    }
    drop(cluster);
    sleep(secs(10)).await;
    assert_eq!(net.connections(), 0);
}
