//! Nodes in separate processes that are killed, stopped for a while and restarted. They use signals
//! and real sockets, which a SimCluster does not have.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use flyrpc::{Node, RpcError, fly_rpc};
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::support::{
    EventLog, Log, millis,
    process::{GENEROUS_TIMEOUT, HEARTBEAT, Process, any_port, free_addr},
    secs,
};

#[fly_rpc]
trait Worker {
    async fn work(&self, millis: u64) -> String;
    #[rpc(detached)]
    async fn work_detached(&self, millis: u64) -> String;
}

/// Starts a node in this process, in hkg, that serves nothing.
async fn caller(seeds: &[SocketAddr]) -> (Node, WorkerClient) {
    let node = Node::builder()
        .name("hkg-0")
        .region("hkg")
        .primary_region("iad")
        .heartbeat(HEARTBEAT)
        .seeds(seeds)
        .start()
        .await
        .unwrap();
    node.ready().await;
    let worker = node.client::<WorkerClient>().on_primary().timeout(GENEROUS_TIMEOUT);
    (node, worker)
}

async fn eventually(condition: impl AsyncFnMut() -> bool) {
    eventually_within(GENEROUS_TIMEOUT, condition).await;
}

async fn eventually_within(at_most: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < at_most);
        tokio::time::sleep(millis(5)).await;
    }
}

#[tokio::test]
async fn peers_show_the_version_of_each_node_and_it_changes_with_a_restart() {
    let start = async |name, addr, version| {
        Process::start_with(name, addr, &[], &[("FLYRPC_VERSION", version)]).await.unwrap()
    };
    let a = start("a", any_port(), "v1").await;
    let b = Process::start("b", any_port(), &[]).await;
    let (node, _) = caller(&[a.addr, b.addr]).await;
    let version_at = |addr| {
        let peers = node.peers();
        peers.into_iter().find(|peer| peer.addr == addr).map(|peer| peer.version)
    };
    assert_eq!(version_at(a.addr).as_deref(), Some("v1"));
    assert_eq!(version_at(b.addr).as_deref(), Some(""));
    let addr = a.addr;
    drop(a);
    let _a = start("a", addr, "v2").await;
    eventually(async || version_at(addr).as_deref() == Some("v2")).await;
}

#[tokio::test]
async fn calls_on_a_killed_process_fail_at_once_and_later_calls_use_another() {
    let (a, b) =
        (Process::start("a", any_port(), &[]).await, Process::start("b", any_port(), &[]).await);
    let (_node, worker) = caller(&[a.addr, b.addr]).await;
    let calls: Vec<_> = (0..40).map(|_| tokio::spawn(worker.work(700))).collect();
    eventually(async || a.started() + b.started() == 40).await;
    assert!(a.started() > 0, "calls are spread over both processes");
    let expected = a.started();
    a.kill().await;
    let killed = Instant::now();
    let mut failed = 0;
    for call in calls {
        if let Err(error) = call.await.unwrap() {
            assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
            failed += 1;
        }
    }
    assert_eq!(failed, expected);
    assert!(killed.elapsed() < secs(3));
    for _ in 0..20 {
        assert_eq!(worker.work(0).await.unwrap(), "b");
    }
}

#[tokio::test]
async fn a_stopped_process_runs_no_expired_calls_when_it_continues_and_is_avoided_meanwhile() {
    let (a, b) =
        (Process::start("a", any_port(), &[]).await, Process::start("b", any_port(), &[]).await);
    let (node, worker) = caller(&[a.addr, b.addr]).await;
    let id = node.nodes_in("iad").into_iter().find(|info| info.name() == "a").unwrap();
    let on_a = worker.on_node(id.id()).timeout(millis(300));
    on_a.work(0).await.unwrap();
    let started = a.started();
    a.signal("-STOP").await;
    for outcome in join_all((0..50).map(|_| on_a.work(0))).await {
        let error = outcome.unwrap_err();
        assert!(matches!(error, RpcError::Timeout { sent: true, .. }), "{error:?}");
    }
    for _ in 0..20 {
        assert_eq!(worker.work(0).await.unwrap(), "b");
    }
    // Longer than the heartbeat timeout.
    tokio::time::sleep(HEARTBEAT * 8).await;
    a.signal("-CONT").await;
    eventually(async || on_a.work(0).await.is_ok()).await;
    assert_eq!(a.started(), started + 1);
}

#[tokio::test]
async fn a_process_stopped_briefly_runs_the_calls_that_have_not_timed_out() {
    let a = Process::start("a", any_port(), &[]).await;
    let (_node, worker) = caller(&[a.addr]).await;
    worker.work(0).await.unwrap();
    a.signal("-STOP").await;
    let waiting = tokio::spawn(worker.work(0));
    let abandoned = worker.timeout(millis(50)).work(0).await;
    assert!(matches!(abandoned, Err(RpcError::Timeout { .. })));
    tokio::time::sleep(HEARTBEAT * 3).await;
    a.signal("-CONT").await;
    assert_eq!(waiting.await.unwrap().unwrap(), "a");
    assert_eq!(a.started(), 2);
}

#[tokio::test]
async fn a_process_killed_and_restarted_on_its_port_is_called_again() {
    let addr = free_addr();
    let a = Process::start("a", addr, &[]).await;
    let (node, worker) = caller(&[addr]).await;
    let earlier = node.nodes_in("iad");
    a.kill().await;
    let again = Process::start("a again", addr, &[]).await;
    assert_eq!(worker.wait(GENEROUS_TIMEOUT).work(0).await.unwrap(), "a again");
    let earlier = worker.on_node(earlier[0].id()).work(0).await.unwrap_err();
    assert!(matches!(earlier, RpcError::NoNode { .. }), "{earlier:?}");
    assert_eq!(node.nodes_in("iad").len(), 1);
    drop(again);
}

#[tokio::test]
async fn a_process_that_starts_late_is_waited_for() {
    let addr = free_addr();
    let waiting = tokio::spawn(async move {
        let (_node, worker) = caller(&[addr]).await;
        worker.wait(GENEROUS_TIMEOUT).work(0).await
    });
    tokio::time::sleep(millis(500)).await;
    let _late = Process::start("late", addr, &[]).await;
    assert_eq!(waiting.await.unwrap().unwrap(), "late");
}

#[tokio::test]
async fn either_signal_finishes_calls_and_refuses_new_ones() {
    for signal in ["-TERM", "-INT"] {
        let (a, b) = (
            Process::start("a", any_port(), &[]).await,
            Process::start("b", any_port(), &[]).await,
        );
        let (node, worker) = caller(&[a.addr, b.addr]).await;
        let on_a = node.nodes_in("iad").into_iter().find(|info| info.name() == "a").unwrap();
        let on_a = worker.on_node(on_a.id());
        let running = tokio::spawn(on_a.work(700));
        let abandoned = tokio::spawn(on_a.work_detached(900));
        eventually(async || a.started() == 2).await;
        abandoned.abort();
        a.signal(signal).await;
        // The node still runs both calls, and accepts no more.
        eventually(async || matches!(on_a.work(0).await, Err(RpcError::NoNode { .. }))).await;
        for _ in 0..20 {
            assert_eq!(worker.work(0).await.unwrap(), "b");
        }
        assert_eq!(running.await.unwrap().unwrap(), "a");
        let (started, finished) = (Arc::clone(&a.started), Arc::clone(&a.finished));
        assert_eq!(a.last_line().await, "down");
        // The detached call also finished.
        assert_eq!(started.load(Ordering::SeqCst), finished.load(Ordering::SeqCst), "{signal}");
    }
}

#[tokio::test]
async fn a_call_that_outlasts_the_drain_fails_with_the_drain_timeout() {
    let a = Process::start("a", any_port(), &[]).await;
    let (_node, worker) = caller(&[a.addr]).await;
    let running = tokio::spawn(worker.work(60_000));
    eventually(async || a.started() == 1).await;
    let start = Instant::now();
    a.signal("-TERM").await;
    let error = running.await.unwrap().unwrap_err();
    assert!(start.elapsed() >= secs(2), "{:?}", start.elapsed());
    assert!(error.may_have_executed());
    let RpcError::Disconnected { sent: true, source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("drain timeout"), "{source}");
    assert_eq!(a.last_line().await, "down");
}

#[tokio::test]
async fn a_process_exits_half_a_second_before_fly_io_kills_it() {
    let variables = [("FLYRPC_DRAIN_TIMEOUT", "4s")];
    let a = Process::start_with("a", any_port(), &[], &variables).await.unwrap();
    let (_node, worker) = caller(&[a.addr]).await;
    let _running = tokio::spawn(worker.work(60_000));
    eventually(async || a.started() == 1).await;
    let start = Instant::now();
    a.signal("-TERM").await;
    assert_eq!(a.last_line().await, "down");
    assert!(start.elapsed() < millis(4_500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_second_signal_stops_a_process_at_once() {
    let a = Process::start("a", any_port(), &[]).await;
    let (_node, worker) = caller(&[a.addr]).await;
    let running = tokio::spawn(worker.work(60_000));
    eventually(async || a.started() == 1).await;
    let start = Instant::now();
    a.signal("-TERM").await;
    eventually(async || matches!(worker.work(0).await, Err(RpcError::NoNode { .. }))).await;
    a.signal("-INT").await;
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
    assert_eq!(a.last_line().await, "down");
    assert!(start.elapsed() < secs(2), "{:?}", start.elapsed());
}

/// Starts two processes with `node` as their seed. The second one advertises the address of the first, and
/// so does the first if `both`.
async fn with_one_address(node: &Node, both: bool) -> [Process; 2] {
    let shared = if both { free_addr() } else { any_port() };
    let seeds = [node.addr()];
    let variables = [("FLYRPC_ADVERTISE", &*shared.to_string())];
    let first = Process::start_with("a", any_port(), &seeds, &variables[..usize::from(both)]).await;
    let first = first.unwrap();
    eventually(async || node.nodes_in("iad").len() == 1).await;
    let shared = if both { shared } else { first.addr };
    let variables = [("FLYRPC_ADVERTISE", &*shared.to_string())];
    let second = Process::start_with("b", any_port(), &seeds, &variables).await.unwrap();
    [first, second]
}

#[tokio::test]
async fn processes_that_advertise_one_address_stay_linked_and_are_named_once() {
    for both in [true, false] {
        let (warnings, _guard) = Log::collect(tracing::Level::WARN);
        let (node, worker) = caller(&[]).await;
        let log = EventLog::of(&node);
        let _processes = with_one_address(&node, both).await;
        eventually(async || node.nodes_in("iad").len() == 2).await;
        let nodes = node.nodes_in("iad");
        // Longer than the heartbeat timeout.
        for _ in 0..15 {
            for info in &nodes {
                assert_eq!(worker.on_node(info.id()).work(0).await.unwrap(), info.name());
            }
            tokio::time::sleep(HEARTBEAT).await;
        }
        assert_eq!(node.nodes_in("iad"), nodes);
        assert_eq!(log.nodes(), ["up a", "up b"]);
        let names = [nodes[0].id().to_string(), nodes[1].id().to_string()];
        let mut conflicts = log.all();
        conflicts.retain(|event| event.contains("AddressConflict"));
        assert_eq!(conflicts.len(), 1, "{conflicts:?}");
        assert!(names.iter().all(|name| conflicts[0].contains(name)), "{conflicts:?}");
        let warned = warnings.with(&["advertise the same address", &names[0], &names[1]]);
        assert_eq!(warned.len(), 1, "{:#?}", warnings.lines());
    }
}

#[tokio::test]
async fn an_address_that_no_other_node_can_dial_is_an_error_at_start() {
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    // Without a secret, this error comes first.
    let failed = Process::start_with("a", unspecified, &[], &[]).await.err().unwrap();
    assert!(failed.contains("reached at 0.0.0.0:0 by whatever is on that network"), "{failed}");
    let insecure = [("FLYRPC_INSECURE", "1")];
    let failed = Process::start_with("a", unspecified, &[], &insecure).await.err().unwrap();
    assert!(failed.starts_with("failed: ") && failed.contains("0.0.0.0"), "{failed}");
    assert!(failed.contains("FLYRPC_ADVERTISE"), "{failed}");
    for advertise in ["224.0.0.1:3590", "255.255.255.255:3590", "0.0.0.0:3590"] {
        let variables = [("FLYRPC_ADVERTISE", advertise)];
        let failed = Process::start_with("a", any_port(), &[], &variables).await.err().unwrap();
        assert!(failed.starts_with("failed: ") && failed.contains(advertise), "{failed}");
    }
}

#[tokio::test]
async fn processes_that_are_killed_right_after_they_were_linked_are_forgotten() {
    let a = Process::start("a", any_port(), &[]).await;
    let (node, worker) = caller(&[a.addr]).await;
    for pause in [0, 1, 5, 20, 100] {
        let name = format!("killed after {pause} ms");
        let killed = Process::start(&name, any_port(), &[a.addr]).await;
        eventually(async || node.nodes_in("iad").iter().any(|info| info.name() == name)).await;
        tokio::time::sleep(millis(pause)).await;
        killed.kill().await;
    }
    // A process that cannot be connected stays suspected for several seconds.
    let forgotten = async || node.nodes_in("iad").len() == 1 && node.peers().len() == 1;
    eventually_within(3 * GENEROUS_TIMEOUT, forgotten).await;
    assert_eq!(worker.work(0).await.unwrap(), "a");
}
