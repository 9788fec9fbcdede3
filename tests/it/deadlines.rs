//! The deadline of a call holds whatever happens.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use flyrpc::{Context, RpcError, fly_rpc};
use tokio::time::Instant;

use crate::support::{ProbeClient, World, millis, secs, sleep};

#[fly_rpc]
trait Relay {
    /// Calls `slow` in `region`, within `timeout`, from inside a handler.
    async fn relay(&self, region: String, millis: u64, timeout: Duration) -> (u64, String);
    /// The same in a task of its own.
    async fn relay_in_a_task(&self, region: String, scoped: bool) -> (u64, String);
    /// 2 s unless said otherwise.
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
            // Made in the handler, awaited elsewhere.
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

/// A world of iad and hkg in which hkg can relay.
async fn relaying() -> (World, flyrpc::Node, flyrpc::Node) {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let client = Arc::new(OnceLock::new());
    let (_, builder) = world.builder("hkg-0", "hkg");
    let builder = builder.serve(world.prober("hkg-0"));
    let hkg = builder.serve(ServeRelay::new(Relaying(Arc::clone(&client)))).start().await.unwrap();
    hkg.ready().await;
    client.set(hkg.client()).ok().unwrap();
    (world, iad, hkg)
}

#[tokio::test(start_paused = true)]
async fn without_a_word_a_call_has_five_seconds() {
    let (_world, iad, hkg) = relaying().await;
    for node in [&iad, &hkg] {
        let start = Instant::now();
        let error = node.client::<ProbeClient>().on_region("hkg").slow(60_000).await.unwrap_err();
        assert!(matches!(error, RpcError::Timeout { after, .. } if after == secs(5)), "{error:?}");
        assert_eq!(start.elapsed(), secs(5));
    }
}

#[tokio::test(start_paused = true)]
async fn the_attribute_replaces_the_default_and_the_option_replaces_the_attribute() {
    let (_world, iad, hkg) = relaying().await;
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
async fn nested_calls_inherit_what_is_left_here_and_elsewhere() {
    let (_world, iad, hkg) = relaying().await;
    for (node, region) in [(&hkg, "iad"), (&hkg, "hkg"), (&iad, "iad"), (&iad, "hkg")] {
        let relay = node.client::<RelayClient>().on_region("hkg").timeout(secs(3));
        let start = Instant::now();
        // Both end at the same moment; which of the two is told first is left open.
        match relay.relay(region.into(), 60_000, secs(60)).await {
            Ok((_, outcome)) => assert!(outcome.contains("Timeout"), "{outcome}"),
            Err(error) => assert!(matches!(error, RpcError::Timeout { .. }), "{error:?}"),
        }
        assert_eq!(start.elapsed(), secs(3));
    }
    // A shorter timeout of its own holds.
    let relay = hkg.client::<RelayClient>().timeout(secs(30));
    let (took, outcome) = relay.relay("iad".into(), 60_000, secs(2)).await.unwrap();
    assert_eq!(took, 2_000);
    assert!(outcome.contains("Timeout"), "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn a_nested_call_in_a_task_of_its_own_belongs_to_the_call_that_made_it() {
    let (world, iad, hkg) = relaying().await;
    for (node, scoped) in [(&hkg, true), (&iad, true), (&hkg, false), (&iad, false)] {
        let begun = world.counts.begun();
        let relay = node.client::<RelayClient>().on_region("hkg").timeout(secs(3));
        let _ = relay.relay_in_a_task("iad".into(), scoped).await;
        sleep(secs(1)).await;
        assert_eq!(world.counts.begun(), begun + 1);
        // Its handler was stopped, too, at the enclosing deadline rather than after 30 s.
        sleep(secs(60)).await;
        assert_eq!(world.counts.ended(), 0, "scoped: {scoped}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_time_left_means_not_executed() {
    let (world, iad, hkg) = relaying().await;
    for node in [&iad, &hkg] {
        for aim in ["hkg", "iad"] {
            let probe = node.client::<ProbeClient>().on_region(aim).timeout(Duration::ZERO);
            for error in
                [probe.slow(10).await.unwrap_err(), probe.slow_and_detached(10).await.unwrap_err()]
            {
                assert!(matches!(error, RpcError::Timeout { .. }), "{error:?}");
                assert!(!error.may_have_executed(), "{error:?}");
            }
        }
    }
    sleep(secs(5)).await;
    assert_eq!(world.counts.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_beyond_all_time_is_one_that_never_comes() {
    let (_world, _iad, hkg) = relaying().await;
    for aim in ["iad", "hkg"] {
        let probe = hkg.client::<ProbeClient>().on_region(aim).timeout(Duration::MAX);
        assert_eq!(probe.slow(3_600_000).await.unwrap(), 3_600_000);
        let seen = probe.context().await.unwrap();
        assert!(seen.remaining > secs(24 * 3600 * 365), "{seen:?}");
        assert_eq!(probe.wait(Duration::MAX).slow(1).await.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_delays_no_deadline_and_what_waited_never_runs() {
    let (world, _iad, hkg) = relaying().await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(1));
    world.net.freeze("iad-0");
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
    // The sockets take 512 KiB or so, hence 12.5 MiB of them never left.
    assert!(unsent > 150, "{unsent}");
    sleep(secs(2)).await;
    world.net.resume("iad-0");
    sleep(secs(60)).await;
    assert_eq!(world.counts.begun(), 0);
    probe.shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dialling_keeps_the_deadline() {
    let mut world = World::new();
    let _iad = world.start("iad-0", "iad").await;
    let _hkg = world.start("hkg-0", "hkg").await;
    let sin = world.net.add_host("sin-0", "sin");
    // Others say that hkg is up, but there is no way to it.
    let _cut = world.net.partition("sin", "hkg");
    let builder = world.builder_on(&sin, "sin-0", "sin");
    let sin = builder.start().await.unwrap();
    sleep(millis(1_000)).await;
    let start = Instant::now();
    let probe = sin.client::<ProbeClient>().on_region("hkg").timeout(secs(2));
    let error = probe.shout("a".into()).await.unwrap_err();
    assert!(!error.may_have_executed(), "{error:?}");
    assert_eq!(start.elapsed(), secs(2), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_first_answer_of_the_seeds_keeps_the_deadline() {
    let world = World::new();
    let first = world.net.add_host("iad-0", "iad");
    let env = world.net.add_host("hkg-0", "hkg");
    world.net.crash("iad-0");
    let builder = world.builder_on(&env, "hkg-0", "hkg").seeds([first.addr(3590)]);
    let hkg = builder.start().await.unwrap();
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
async fn a_context_is_that_of_the_handler_only() {
    assert!(Context::try_current().is_none());
    let (_world, _iad, hkg) = relaying().await;
    hkg.client::<ProbeClient>().context().await.unwrap();
    assert!(Context::try_current().is_none());
}
