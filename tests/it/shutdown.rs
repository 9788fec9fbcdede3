//! Accepting and withdrawing from traffic, draining, graceful shutdown, and dropping a node.

use std::time::Duration;

use flyrpc::{Node, PeerState, RpcError};
use flyrpc_testkit::{SimCluster, SimNet};
use tokio::{runtime::Handle, task::JoinHandle, time::Instant};

use crate::support::{
    Counts, EventLog, ProbeClient, iad_and_hkg, millis, node_names, node_on, peer_named,
    probe_cluster, probe_release, prober, secs, sleep,
};

#[tokio::test(start_paused = true)]
async fn a_held_node_is_known_and_receives_no_call_until_it_accepts() {
    let counts = Counts::default();
    let held = probe_release(&counts).configure(|_, builder| builder.hold());
    let cluster = probe_cluster(&counts).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", held).start().await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let start = Instant::now();
    let error = probe.shout("a".into()).await.unwrap_err();
    assert!(
        matches!(error, RpcError::NoNode { known, .. } if known.not_accepting == 1),
        "{error:?}"
    );
    assert_eq!(start.elapsed(), millis(0));
    assert_eq!(node_names(&hkg, "iad"), ["iad-0"]);
    assert!(!peer_named(&hkg, "iad-0").accepting);
    let waiting = tokio::spawn(probe.timeout(secs(60)).wait(secs(30)).shout("a".into()));
    sleep(secs(3)).await;
    // Local calls are not inbound requests, so a held node accepts them.
    iad.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
    assert_eq!(counts.started(), 1);
    iad.accept();
    sleep(millis(102)).await;
    assert!(peer_named(&hkg, "iad-0").accepting);
    probe.shout("a".into()).await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_is_withdrawn_and_offered_again_within_one_message() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 2).region("hkg", 1).start().await;
    let iad = cluster.node("iad-0");
    let hkg = cluster.node("hkg-0");
    sleep(secs(2)).await;
    let probe: ProbeClient = hkg.client();
    iad.set_serving::<ProbeClient>(false);
    // Calls that are in flight when the service is withdrawn are retried on the other node.
    for _ in 0..20 {
        assert_eq!(probe.on_region("iad").shout("a".into()).await.unwrap().1, "iad-1");
    }
    assert_eq!(peer_named(&hkg, "iad-0").withdrawn, ["Probe"]);
    let error = probe.on_node(iad.id()).shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. } | RpcError::Refused { .. }), "{error:?}");
    iad.set_serving::<ProbeClient>(true);
    sleep(millis(102)).await;
    probe.on_node(iad.id()).shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_draining_node_finishes_inbound_calls_and_can_still_call() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 2).region("hkg", 1).start().await;
    let iad = cluster.node("iad-0");
    let hkg = cluster.node("hkg-0");
    sleep(secs(2)).await;
    let probe: ProbeClient = hkg.client();
    let running = tokio::spawn(probe.on_node(iad.id()).slow(2_000));
    let detached = probe.on_node(iad.id()).timeout(millis(500)).slow_and_detached(3_000);
    assert!(matches!(detached.await, Err(RpcError::Timeout { .. })));
    let start = Instant::now();
    let draining = tokio::spawn({
        let iad = iad.clone();
        async move { iad.drain().await }
    });
    sleep(millis(1)).await;
    for _ in 0..5 {
        assert_eq!(probe.on_region("iad").shout("a".into()).await.unwrap().1, "iad-1");
    }
    let own: ProbeClient = iad.client();
    own.on_region("hkg").shout("a".into()).await.unwrap();
    own.on_region("iad").shout("a".into()).await.unwrap();
    draining.await.unwrap();
    // The detached call still takes 2,601 ms from now.
    assert!((millis(2_400)..millis(2_800)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(running.await.unwrap().unwrap(), 2_000);
    own.on_region("hkg").shout("a".into()).await.unwrap();
}

/// Starts a node with this drain timeout, or the default one. Then starts a call to it that takes 30 s, and
/// waits for a second. Returns the cluster, the node and the call.
async fn in_call(
    drain_timeout: Option<Duration>,
) -> (SimCluster, Node, JoinHandle<Result<u64, RpcError>>) {
    let cluster = probe_cluster(&Counts::default())
        .configure(move |_, builder| match drain_timeout {
            Some(timeout) => builder.drain_timeout(timeout),
            None => builder,
        })
        .region("iad", 1)
        .region("hkg", 1)
        .start()
        .await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60));
    let call = tokio::spawn(probe.slow(30_000));
    sleep(secs(1)).await;
    (cluster, iad, call)
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_timeout() {
    let (_cluster, iad, call) = in_call(Some(secs(2))).await;
    let start = Instant::now();
    iad.drain().await;
    assert_eq!(start.elapsed(), secs(2));
    iad.shutdown().await;
    let error = call.await.unwrap().unwrap_err();
    let RpcError::Disconnected { sent: true, source, .. } = &error else { panic!("{error:?}") };
    assert!(source.to_string().contains("drain timeout"), "{source}");
    assert!(start.elapsed() < secs(6), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_within_the_drain_timeout_although_calls_outlast_it() {
    for timeout in [None, Some(secs(2)), Some(millis(100)), Some(millis(0))] {
        let (_cluster, iad, call) = in_call(timeout).await;
        let start = Instant::now();
        iad.shutdown().await;
        // Fly.io kills a machine 5 s after the signal.
        let limit = timeout.unwrap_or(secs(4));
        assert!(start.elapsed() <= limit, "{:?} of {limit:?}", start.elapsed());
        assert!(start.elapsed() >= limit * 7 / 8, "{:?} of {limit:?}", start.elapsed());
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_holds_again_is_passed_over_until_it_accepts() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 2).region("hkg", 1).start().await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    sleep(secs(2)).await;
    let probe: ProbeClient = hkg.client();
    let running = tokio::spawn(probe.on_node(iad.id()).slow(1_000));
    sleep(millis(200)).await;
    iad.hold();
    for _ in 0..20 {
        assert_eq!(probe.on_region("iad").shout("a".into()).await.unwrap().1, "iad-1");
    }
    let error = probe.on_node(iad.id()).shout("a".into()).await.unwrap_err();
    assert!(
        matches!(error, RpcError::NoNode { known, .. } if known.not_accepting == 1),
        "{error:?}"
    );
    assert!(!iad.is_draining());
    running.await.unwrap().unwrap();
    iad.accept();
    sleep(millis(102)).await;
    probe.on_node(iad.id()).shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_tells_whether_it_is_draining() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    assert!(!iad.is_draining() && !hkg.is_draining());
    iad.drain().await;
    assert!(iad.is_draining());
    hkg.shutdown().await;
    assert!(hkg.is_draining());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_finishes_large_replies() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let iad = cluster.node("iad-0");
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60));
    for size in [100_000, 1_000_000] {
        let reply = tokio::spawn(probe.produce(size));
        sleep(millis(150)).await;
        if size == 1_000_000 {
            iad.shutdown().await;
        }
        assert_eq!(reply.await.unwrap().unwrap().len(), size);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_calls_fail_at_once_without_executing() {
    let counts = Counts::default();
    let cluster = iad_and_hkg(&counts).await;
    let iad = cluster.node("iad-0");
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    let waiting = tokio::spawn(probe.on_region("syd").wait(secs(60)).timeout(secs(60)).slow(1));
    sleep(secs(1)).await;
    hkg.shutdown().await;
    hkg.shutdown().await;
    hkg.ready().await;
    let start = Instant::now();
    for client in
        [probe.on_region("iad"), probe.on_region("hkg"), probe.clone(), probe.on_primary()]
    {
        let error = client.wait(secs(10)).shout("a".into()).await.unwrap_err();
        assert!(matches!(error, RpcError::ShutDown { .. }), "{error:?}");
        assert!(!error.may_have_executed());
    }
    assert!(matches!(waiting.await.unwrap(), Err(RpcError::ShutDown { .. })));
    assert_eq!(start.elapsed(), millis(0));
    assert_eq!(counts.started(), 0);
    let again = iad.clone();
    futures_util::future::join(iad.shutdown(), again.shutdown()).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_the_first_seeds_ends_with_its_node() {
    // Uses a raw SimNet, because in a SimCluster all seeds of a node are up.
    let net = SimNet::builder().build();
    let env = net.add_host("hkg-0", "hkg");
    net.add_host("iad-0", "iad");
    net.crash("iad-0");
    let hkg = node_on(&env).seeds(["iad-0:3590"]).start().await.unwrap();
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60));
    let call = tokio::spawn(probe.shout("a".into()));
    sleep(secs(1)).await;
    let start = Instant::now();
    hkg.shutdown().await;
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, RpcError::ShutDown { .. }), "{error:?}");
    assert!(start.elapsed() <= secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_events_of_a_node_end_with_it() {
    // Uses a raw SimNet, because a SimCluster keeps a handle of each of its nodes.
    let env = SimNet::builder().build().add_host("iad-0", "iad");
    let iad = node_on(&env).start().await.unwrap();
    let mut events = iad.events();
    drop(iad);
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_the_node_and_leaves_no_task() {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts).region("hkg", 1).start().await;
    let hkg = cluster.node("hkg-0");
    sleep(secs(20)).await;
    let log = EventLog::of(&hkg);
    sleep(millis(1)).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    for round in 0..20 {
        let env = match round {
            0 => cluster.add_host("iad-0", "iad"),
            _ => cluster.restart_machine("iad-0"),
        };
        // Not a node of the cluster, because the cluster would keep a handle of it.
        let builder = node_on(&env).primary_region("hkg").seeds(["hkg-0:3590"]);
        let iad = builder.serve(prober("iad-0", &counts)).start().await.unwrap();
        iad.ready().await;
        let probe: ProbeClient = iad.client();
        let other = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60));
        sleep(secs(8)).await;
        let call = tokio::spawn(other.slow(50_000));
        let own = tokio::spawn(probe.on_region("hkg").slow(500));
        sleep(secs(1)).await;
        own.await.unwrap().unwrap();
        drop((iad, probe));
        sleep(millis(200)).await;
        assert!(matches!(call.await.unwrap(), Err(RpcError::Disconnected { sent: true, .. })));
        sleep(secs(60)).await;
        let left = Handle::current().metrics().num_alive_tasks();
        assert!(left <= tasks + 1, "round {round}: {left} after {tasks}");
        assert_eq!(hkg.peers().iter().filter(|peer| peer.state == PeerState::Linked).count(), 0);
    }
    let nodes = log.nodes();
    assert_eq!(nodes.len(), 40, "{nodes:?}");
    assert!(nodes.chunks(2).all(|pair| pair == ["up iad-0", "down iad-0"]), "{nodes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_keeps_its_node_running() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).start().await;
    let probe = {
        // Not a node of the cluster, because the cluster would keep a handle of it.
        let builder = node_on(&cluster.add_host("hkg-0", "hkg")).seeds(["iad-0:3590"]);
        let hkg = builder.start().await.unwrap();
        hkg.ready().await;
        hkg.client::<ProbeClient>().on_region("iad")
    };
    sleep(secs(10)).await;
    probe.shout("a".into()).await.unwrap();
}
