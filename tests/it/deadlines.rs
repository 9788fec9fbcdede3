//! Deadlines: a call ends at its deadline in all circumstances.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use flyrpc::{Context, Node, RpcError, StartError, fly_rpc};
use flyrpc_testkit::{SimCluster, SimNet};
use tokio::time::Instant;

use crate::support::{
    Counts, ProbeClient, iad_and_hkg, millis, node_on, probe_cluster, secs, sleep,
};

#[fly_rpc]
trait Relay {
    /// Calls `slow` in `region` with `timeout`, from inside a handler.
    async fn relay(&self, region: String, millis: u64, timeout: Duration) -> (u64, String);
    /// Does the same in a separate task.
    async fn relay_in_a_task(&self, region: String, scoped: bool) -> (u64, String);
    /// Has a default timeout of 2 s.
    #[rpc(timeout = "2s")]
    async fn brief(&self, millis: u64) -> Duration;
}

struct Relaying(Arc<OnceLock<ProbeClient>>);

impl Relay for Relaying {
    async fn relay(&self, region: String, millis: u64, timeout: Duration) -> (u64, String) {
        let start = Instant::now();
        let probe = self.0.get().unwrap();
        let outcome = probe.on_region(region.as_str()).timeout(timeout).slow(millis).await;
        (start.elapsed().as_millis() as u64, format!("{outcome:?}"))
    }

    async fn relay_in_a_task(&self, region: String, scoped: bool) -> (u64, String) {
        let start = Instant::now();
        let probe = self.0.get().unwrap().on_region(region.as_str()).timeout(secs(60));
        let call = async move { probe.slow(30_000).await };
        let outcome = if scoped {
            tokio::spawn(flyrpc::context().scope(call)).await
        } else {
            // The call is made in the handler, but awaited in another task.
            let probe = self.0.get().unwrap().on_region(region.as_str()).timeout(secs(60));
            tokio::spawn(probe.slow(30_000)).await
        };
        (start.elapsed().as_millis() as u64, format!("{:?}", outcome.unwrap()))
    }

    async fn brief(&self, millis: u64) -> Duration {
        let remaining = flyrpc::context().remaining();
        sleep(Duration::from_millis(millis)).await;
        remaining
    }
}

/// A cluster of iad-0 and hkg-0 that also serve [`Relay`].
struct Relays {
    cluster: SimCluster,
    counts: Counts,
    iad: Node,
    hkg: Node,
}

impl Relays {
    async fn start() -> Self {
        let counts = Counts::default();
        let cluster =
            probe_cluster(&counts).region("iad", 1).region("hkg", 1).boot(|_, builder| {
                let client = Arc::new(OnceLock::new());
                let relay = ServeRelay::new(Relaying(Arc::clone(&client)));
                async move {
                    let node = builder.serve(relay).start().await?;
                    client.set(node.client()).expect("set once");
                    Ok::<_, StartError>(node)
                }
            });
        let cluster = cluster.start().await;
        let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
        Relays { cluster, counts, iad, hkg }
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_timeout_is_five_seconds() {
    let Relays { cluster: _cluster, iad, hkg, .. } = Relays::start().await;
    for node in [&iad, &hkg] {
        let start = Instant::now();
        let error = node.client::<ProbeClient>().on_region("hkg").slow(60_000).await.unwrap_err();
        assert!(matches!(error, RpcError::Timeout { after, .. } if after == secs(5)), "{error:?}");
        assert_eq!(start.elapsed(), secs(5));
    }
}

#[tokio::test(start_paused = true)]
async fn the_attribute_replaces_the_default_and_the_option_replaces_the_attribute() {
    let Relays { cluster: _cluster, iad, hkg, .. } = Relays::start().await;
    for node in [&iad, &hkg] {
        let relay = node.client::<RelayClient>().on_region("hkg");
        for (client, after) in
            [(relay.clone(), 2), (relay.timeout(secs(1)), 1), (relay.timeout(secs(7)), 7)]
        {
            let start = Instant::now();
            let error = client.brief(60_000).await.unwrap_err();
            assert!(matches!(error, RpcError::Timeout { .. }), "{error:?}");
            assert_eq!(start.elapsed(), secs(after));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nested_calls_inherit_the_remaining_time_locally_and_remotely() {
    let Relays { cluster: _cluster, iad, hkg, .. } = Relays::start().await;
    for (node, region) in [(&hkg, "iad"), (&hkg, "hkg"), (&iad, "iad"), (&iad, "hkg")] {
        let relay = node.client::<RelayClient>().on_region("hkg").timeout(secs(3));
        let start = Instant::now();
        // Both calls end at the same time. Which of the two errors comes first is unspecified.
        match relay.relay(region.into(), 60_000, secs(60)).await {
            Ok((_, outcome)) => assert!(outcome.contains("Timeout"), "{outcome}"),
            Err(error) => assert!(matches!(error, RpcError::Timeout { .. }), "{error:?}"),
        }
        assert_eq!(start.elapsed(), secs(3));
    }
    // A shorter timeout of the nested call applies.
    let relay = hkg.client::<RelayClient>().timeout(secs(30));
    let (took, outcome) = relay.relay("iad".into(), 60_000, secs(2)).await.unwrap();
    assert_eq!(took, 2_000);
    assert!(outcome.contains("Timeout"), "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn a_nested_call_in_another_task_ends_with_the_enclosing_call() {
    let Relays { cluster: _cluster, counts, iad, hkg } = Relays::start().await;
    for (node, scoped) in [(&hkg, true), (&iad, true), (&hkg, false), (&iad, false)] {
        let before = counts.started();
        let relay = node.client::<RelayClient>().on_region("hkg").timeout(secs(3));
        let _ = relay.relay_in_a_task("iad".into(), scoped).await;
        sleep(secs(1)).await;
        assert_eq!(counts.started(), before + 1);
        // The handler was also stopped, at the deadline of the enclosing call rather than after 30
        // s.
        sleep(secs(60)).await;
        assert_eq!(counts.finished(), 0, "scoped: {scoped}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_remaining_time_does_not_execute() {
    let Relays { cluster: _cluster, counts, iad, hkg } = Relays::start().await;
    for node in [&iad, &hkg] {
        for region in ["hkg", "iad"] {
            let probe = node.client::<ProbeClient>().on_region(region).timeout(Duration::ZERO);
            for error in
                [probe.slow(10).await.unwrap_err(), probe.slow_and_detached(10).await.unwrap_err()]
            {
                assert!(matches!(error, RpcError::Timeout { .. }), "{error:?}");
                assert!(!error.may_have_executed(), "{error:?}");
            }
        }
    }
    sleep(secs(5)).await;
    assert_eq!(counts.started(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_longest_timeout_never_expires() {
    let Relays { cluster: _cluster, hkg, .. } = Relays::start().await;
    for region in ["iad", "hkg"] {
        let probe = hkg.client::<ProbeClient>().on_region(region).timeout(Duration::MAX);
        assert_eq!(probe.slow(3_600_000).await.unwrap(), 3_600_000);
        let seen = probe.context().await.unwrap();
        assert!(seen.remaining > secs(24 * 3600 * 365), "{seen:?}");
        assert_eq!(probe.wait(Duration::MAX).slow(1).await.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_delays_no_deadline_and_expired_requests_never_run() {
    let Relays { cluster, counts, hkg, .. } = Relays::start().await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(1));
    cluster.freeze("iad-0");
    let calls: Vec<_> =
        (0..200).map(|_| (Instant::now(), tokio::spawn(probe.echo(vec![1; 64 << 10])))).collect();
    let small: Vec<_> =
        (0..50).map(|_| (Instant::now(), tokio::spawn(probe.shout("a".into())))).collect();
    let mut unsent = 0;
    for (start, call) in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, RpcError::Timeout { .. }), "{error:?}");
        assert!(start.elapsed() <= millis(1_001), "{:?}", start.elapsed());
        unsent += u32::from(!error.may_have_executed());
    }
    for (start, call) in small {
        assert!(matches!(call.await.unwrap(), Err(RpcError::Timeout { .. })));
        assert!(start.elapsed() <= millis(1_001));
    }
    // The sockets accept about 512 KiB, so most of the 12.5 MiB were never sent.
    assert!(unsent > 150, "{unsent}");
    sleep(secs(2)).await;
    cluster.resume("iad-0");
    sleep(secs(60)).await;
    assert_eq!(counts.started(), 0);
    probe.shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_dial_ends_at_its_deadline() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let sin = cluster.add_host("sin-0", "sin");
    // The other nodes report hkg as up, but it cannot be reached.
    let _cut = cluster.partition("sin", "hkg");
    // Not a node of the cluster, because the cluster would wait for its link to hkg-0.
    let builder = node_on(&sin).seeds(["iad-0:3590", "hkg-0:3590"]);
    let sin = builder.start().await.unwrap();
    sleep(millis(1_000)).await;
    let start = Instant::now();
    let probe = sin.client::<ProbeClient>().on_region("hkg").timeout(secs(2));
    let error = probe.shout("a".into()).await.unwrap_err();
    assert!(!error.may_have_executed(), "{error:?}");
    assert_eq!(start.elapsed(), secs(2), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_the_seeds_ends_at_its_deadline() {
    // Uses a raw SimNet, because in a SimCluster all seeds of a node are up.
    let net = SimNet::builder().build();
    let first = net.add_host("iad-0", "iad");
    let env = net.add_host("hkg-0", "hkg");
    net.crash("iad-0");
    let hkg = node_on(&env).seeds([first.addr(3590)]).start().await.unwrap();
    let start = Instant::now();
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(2));
    let error = probe.shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::Timeout { node: None, sent: false, .. }), "{error:?}");
    assert_eq!(start.elapsed(), secs(2));
    let error = probe.timeout(secs(60)).shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }), "{error:?}");
    assert!(start.elapsed() <= secs(6), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_context_exists_in_handlers_only() {
    assert!(Context::try_current().is_none());
    let Relays { cluster: _cluster, hkg, .. } = Relays::start().await;
    hkg.client::<ProbeClient>().context().await.unwrap();
    assert!(Context::try_current().is_none());
}
