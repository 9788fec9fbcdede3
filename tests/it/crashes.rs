//! Handles of a node whose tasks are gone because its machine crashed or its runtime was shut down.
//! No operation may wait for such a node.

use flyrpc::{Node, RpcError};
use flyrpc_testkit::SimCluster;
use futures_util::future;
use tokio::{task::JoinHandle, time::Instant};

use crate::support::{Counts, ProbeClient, iad_and_hkg, millis, node_names, prober, secs, sleep};

/// A cluster of iad-0 and hkg-0.
async fn two_nodes(counts: &Counts) -> (SimCluster, Node, Node) {
    let cluster = iad_and_hkg(counts).await;
    sleep(secs(5)).await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    (cluster, iad, hkg)
}

/// Crashes the machine of hkg-0 and lets its tasks be dropped.
async fn crash_hkg(cluster: &SimCluster) {
    cluster.crash_machine("hkg-0");
    tokio::task::yield_now().await;
}

/// Returns the error of a call, which must end without virtual time passing.
async fn error_at_once<T>(call: JoinHandle<Result<T, RpcError>>) -> RpcError {
    let start = Instant::now();
    let Err(error) = call.await.unwrap() else { panic!("the call succeeded") };
    assert_eq!(start.elapsed(), millis(0));
    error
}

#[tokio::test(start_paused = true)]
async fn calls_through_a_crashed_node_fail_at_once() {
    let counts = Counts::default();
    let (cluster, iad, hkg) = two_nodes(&counts).await;
    let probe: ProbeClient = hkg.client();
    crash_hkg(&cluster).await;
    let clients =
        [probe.clone(), probe.on_region("hkg"), probe.on_region("iad"), probe.on_primary()];
    for client in clients.into_iter().chain([probe.on_node(iad.id()), probe.on_node(hkg.id())]) {
        for client in [client.clone(), client.wait(secs(60)).timeout(secs(60))] {
            let error = error_at_once(tokio::spawn(client.shout("a".into()))).await;
            assert!(matches!(error, RpcError::ShutDown { .. }), "{error:?}");
        }
    }
    assert_eq!(counts.started(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_fail_when_their_callers_machine_crashes() {
    let counts = Counts::default();
    let (cluster, _iad, hkg) = two_nodes(&counts).await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(600));
    let running = tokio::spawn(probe.slow(60_000));
    sleep(secs(1)).await;
    let in_flight = tokio::spawn(probe.slow_but_repeatable(60_000));
    let nowhere = tokio::spawn(probe.on_region("syd").wait(secs(60)).slow(1));
    sleep(millis(1)).await;
    crash_hkg(&cluster).await;
    for call in [running, in_flight] {
        let error = error_at_once(call).await;
        assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
    }
    let error = error_at_once(nowhere).await;
    assert!(matches!(error, RpcError::ShutDown { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_request_was_not_written_before_the_crash_has_not_executed() {
    let counts = Counts::default();
    let (cluster, _iad, hkg) = two_nodes(&counts).await;
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let start = Instant::now();
    let crash = async { cluster.crash_machine("hkg-0") };
    let (outcome, ()) = future::join(probe.shout("a".into()), crash).await;
    let error = outcome.unwrap_err();
    assert!(!error.may_have_executed(), "{error:?}");
    assert_eq!(start.elapsed(), millis(0));
    sleep(secs(1)).await;
    assert_eq!(counts.started(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_local_call_continues_after_the_crash_unless_it_runs_in_a_task_of_the_node() {
    let counts = Counts::default();
    let (cluster, _iad, hkg) = two_nodes(&counts).await;
    let probe = hkg.client::<ProbeClient>().timeout(secs(60));
    let local = tokio::spawn(probe.slow(2_000));
    let detached = tokio::spawn(probe.slow_and_detached(2_000));
    sleep(secs(1)).await;
    crash_hkg(&cluster).await;
    let error = error_at_once(detached).await;
    assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
    assert_eq!(local.await.unwrap().unwrap(), 2_000);
    assert_eq!((counts.started(), counts.finished()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn operations_that_wait_for_a_node_end_when_it_crashes() {
    let counts = Counts::default();
    let (cluster, iad, hkg) = two_nodes(&counts).await;
    let probe = iad.client::<ProbeClient>().on_node(hkg.id()).timeout(secs(60));
    let served = tokio::spawn(probe.slow(60_000));
    sleep(millis(500)).await;
    let mut events = hkg.events();
    let draining = tokio::spawn({
        let hkg = hkg.clone();
        async move { hkg.drain().await }
    });
    sleep(millis(500)).await;
    let start = Instant::now();
    crash_hkg(&cluster).await;
    draining.await.unwrap();
    while events.next().await.is_some() {}
    hkg.ready().await;
    hkg.drain().await;
    hkg.shutdown().await;
    hkg.shutdown().await;
    assert_eq!(start.elapsed(), millis(0));
    let error = served.await.unwrap().unwrap_err();
    assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
    assert_eq!(node_names(&iad, "hkg"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_interrupted_by_a_crash_ends() {
    let counts = Counts::default();
    let (cluster, _iad, hkg) = two_nodes(&counts).await;
    let start = Instant::now();
    cluster.crash_machine("hkg-0");
    hkg.shutdown().await;
    assert_eq!(start.elapsed(), millis(0));
}

#[test]
fn a_node_whose_runtime_is_gone_is_shut_down() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    // Not a `SimCluster`, because its network would be lost with the dropped runtime.
    let builder = Node::builder().serve(prober("a", &Counts::default()));
    let node = first.block_on(builder.start()).unwrap();
    let probe: ProbeClient = node.client();
    first.block_on(probe.shout("a".into())).unwrap();
    let mut events = node.events();
    drop(first);
    second.block_on(async {
        let error = probe.shout("a".into()).await.unwrap_err();
        assert!(matches!(error, RpcError::ShutDown { .. }), "{error:?}");
        assert_eq!(events.next().await, None);
        node.shutdown().await;
    });
}
