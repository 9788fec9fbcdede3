//! Guarantees while machines crash, freeze and restart.

use flyrpc::Node;
use flyrpc_examples::notes::{COPY_TIMEOUT, Database, FRESH, STATEMENT, start};
use flyrpc_testkit::SimCluster;
use tokio::time::{Instant, sleep};

use crate::{cluster, fresh, ms, notes, read, write};

/// Returns the node that executes the first write in flight.
fn writing(cluster: &SimCluster) -> String {
    let trace = cluster.trace();
    let call = trace.calls().method("write").under_way().next().expect("a write is in flight");
    call.node().expect("the write was sent to a node").to_owned()
}

#[flyrpc_testkit::test]
async fn a_write_survives_the_crash_of_its_node_and_executes_once() {
    let before_the_commit = ms(100) + ms(1);
    let after_the_commit = ms(100) + STATEMENT + ms(1);
    for moment in [before_the_commit, after_the_commit] {
        let cluster = cluster().await;
        let hkg = notes(&cluster, "hkg-0");
        let call = tokio::spawn(write(&hkg, "green"));
        sleep(moment).await;
        cluster.crash(writing(&cluster));

        assert_eq!(call.await.unwrap().unwrap(), 1, "the other node executed the write");
        assert_eq!(read(&hkg).await, fresh("green"));
        assert_eq!(cluster.trace().calls().method("write").count(), 2, "{}", cluster.trace());
        assert_eq!(write(&hkg, "black").await.unwrap(), 2);
    }
}

#[flyrpc_testkit::test]
async fn a_write_that_no_node_is_left_to_finish_may_have_executed() {
    let cluster = cluster().await;
    let hkg = notes(&cluster, "hkg-0");
    let call = tokio::spawn(write(&hkg, "green"));
    sleep(ms(150)).await;
    cluster.crash("iad-0");
    cluster.crash("iad-1");
    let error = call.await.unwrap().unwrap_err();
    assert!(error.may_have_executed(), "{error}");

    cluster.restart("iad-0").await;
    cluster.settled().await;
    assert_eq!(
        write(&hkg, "green").await.unwrap(),
        1,
        "the first write executed, and the second does not"
    );
}

#[flyrpc_testkit::test]
async fn a_write_completes_although_its_caller_gave_up() {
    let cluster = cluster().await;
    let hkg = notes(&cluster, "hkg-0");
    let call = tokio::spawn(write(&hkg, "green"));
    sleep(ms(102)).await;
    call.abort();
    sleep(ms(500)).await;
    assert_eq!(read(&notes(&cluster, "fra-0")).await, fresh("green"));
}

#[flyrpc_testkit::test]
async fn a_restart_loses_copies_but_no_notes() {
    let cluster = cluster().await;
    write(&notes(&cluster, "iad-0"), "green").await.unwrap();
    for node in cluster.names() {
        cluster.crash(&node);
    }
    for node in cluster.names() {
        cluster.restart(&node).await;
    }
    cluster.settled().await;
    let start = Instant::now();
    assert_eq!(read(&notes(&cluster, "hkg-0")).await, fresh("green"));
    assert_eq!(start.elapsed(), ms(200) + STATEMENT, "from the database");
}

#[flyrpc_testkit::test]
async fn a_frozen_reader_delays_a_write_by_a_second_and_catches_up_within_a_minute() {
    let cluster = cluster().await;
    let (fra, hkg) = (notes(&cluster, "fra-0"), notes(&cluster, "hkg-0"));
    write(&fra, "green").await.unwrap();

    let frozen = cluster.frozen("hkg-0");
    let start = Instant::now();
    write(&fra, "black").await.unwrap();
    assert_eq!(start.elapsed(), ms(90) + STATEMENT + COPY_TIMEOUT);

    drop(frozen); // the copy that timed out meanwhile is not stored now
    assert_eq!(read(&hkg).await, fresh("green"));
    sleep(FRESH).await;
    assert_eq!(read(&hkg).await, fresh("black"));
}

#[flyrpc_testkit::test]
async fn writes_avoid_a_frozen_node() {
    let cluster = cluster().await;
    cluster.freeze("iad-0");
    sleep(ms(2_500)).await; // a little more than 2 heartbeats of silence
    let start = Instant::now();
    for cup in 1..=10 {
        write(&notes(&cluster, "hkg-0"), &format!("cup {cup}")).await.unwrap();
    }
    assert_eq!(start.elapsed(), 10 * (ms(200) + STATEMENT + ms(200)));
}

#[flyrpc_testkit::test]
async fn a_node_that_is_shut_down_finishes_its_writes() {
    let cluster = cluster().await;
    let call = tokio::spawn(write(&notes(&cluster, "hkg-0"), "green"));
    sleep(ms(101)).await;
    cluster.shutdown(writing(&cluster)).await;
    assert_eq!(call.await.unwrap().unwrap(), 1);
    assert_eq!(cluster.trace().calls().method("write").count(), 1, "{}", cluster.trace());
}

#[tokio::test]
async fn a_node_ends_when_its_last_handle_is_dropped() {
    let builder = Node::builder().region("iad").primary_region("iad");
    let node = start(builder, Database::default()).await.unwrap();
    let weak = node.downgrade();
    drop(node);
    assert!(weak.upgrade().is_none());
}
