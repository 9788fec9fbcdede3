//! Retries: which calls are tried on another node, how often, and the error when all attempts fail.

use flyrpc::{Event, Node, Refusal, RpcError};
use flyrpc_testkit::{SimCluster, SimNet};
use futures_util::{FutureExt, future::join_all};
use tokio::time::Instant;

use crate::support::{
    Counts, ProbeClient, iad_and_hkg, millis, node_on, probe_cluster, probe_release, prober, secs,
    sleep,
};

/// Adds a node to iad that is overloaded for several minutes.
async fn add_overloaded(cluster: &SimCluster, counts: &Counts, caller: &Node) {
    let release = probe_release(counts).configure(|_, builder| builder.max_in_flight(1));
    let node = cluster.node(cluster.add_node_with("iad", release).await);
    sleep(secs(3)).await;
    let probe = caller.client::<ProbeClient>().on_node(node.id()).timeout(secs(600));
    tokio::spawn(probe.slow(500_000));
    sleep(secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_is_retried_on_another_node() {
    let counts = Counts::default();
    let limited = probe_release(&counts).configure(|_, builder| builder.max_in_flight(1));
    let cluster = probe_cluster(&counts).region("iad", 2).region("hkg", 1);
    let cluster = cluster.node("iad-0", limited).start().await;
    let (full, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    sleep(secs(2)).await;
    let probe: ProbeClient = hkg.client();
    let _busy = tokio::spawn(probe.on_node(full.id()).timeout(secs(60)).slow(50_000));
    // Without calls in flight on the other node, hardly any call would go to the full one.
    let other = cluster.node("iad-1");
    for _ in 0..30 {
        tokio::spawn(probe.on_node(other.id()).timeout(secs(60)).slow(50_000));
    }
    sleep(secs(1)).await;
    let mut second = 0;
    for _ in 0..40 {
        let start = Instant::now();
        let seen = probe.on_region("iad").context().await.unwrap();
        assert_eq!(start.elapsed(), millis(202 * u64::from(seen.attempt)));
        second += seen.attempt - 1;
    }
    assert!((5..35).contains(&second), "{second}");
    assert_eq!(counts.started(), 1 + 30);
}

#[tokio::test(start_paused = true)]
async fn arguments_that_are_too_large_for_one_node_go_to_another() {
    let counts = Counts::default();
    let small = probe_release(&counts).configure(|_, builder| builder.max_body(64 << 10));
    let cluster = probe_cluster(&counts).region("iad", 2).region("hkg", 1);
    let cluster = cluster.node("iad-0", small).start().await;
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    for _ in 0..20 {
        assert_eq!(probe.on_region("iad").echo(vec![7; 100_000]).await.unwrap().len(), 100_000);
    }
    let small = cluster.node("iad-0");
    let error = probe.on_node(small.id()).echo(vec![7; 100_000]).await.unwrap_err();
    let RpcError::ArgumentsTooLarge { limit: 65_536, .. } = error else { panic!("{error:?}") };
    assert_eq!(error.node().map(|node| node.name()), Some("iad-0"));
    assert!(error.to_string().contains("too large for node iad-0"), "{error}");
    let error = probe.on_region("iad").echo(vec![7; 33 << 20]).await.unwrap_err();
    assert!(matches!(error, RpcError::ArgumentsTooLarge { .. }), "{error:?}");
    assert!(error.to_string().contains("too large for this node"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_call_has_at_most_three_attempts() {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts).region("hkg", 1).start().await;
    let hkg = cluster.node("hkg-0");
    for _ in 0..5 {
        add_overloaded(&cluster, &counts, &hkg).await;
    }
    let start = Instant::now();
    let error = hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::Refused { reason: Refusal::Overloaded, .. }), "{error:?}");
    assert!(!error.may_have_executed());
    assert_eq!(start.elapsed(), millis(3 * 202));
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_budget_is_reported_once_and_counted() {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts).region("hkg", 1).start().await;
    let hkg = cluster.node("hkg-0");
    for _ in 0..3 {
        add_overloaded(&cluster, &counts, &hkg).await;
    }
    let mut events = hkg.events();
    let before = hkg.stats().regions.iter().map(|region| region.calls).sum::<u64>();
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    for call in join_all((0..400).map(|_| probe.slow(1))).await {
        assert!(matches!(call, Err(RpcError::Refused { .. })), "{call:?}");
    }
    sleep(secs(5)).await;
    let exhausted =
        |event: &Event| matches!(event, Event::RetriesExhausted(at) if at.as_str() == "iad");
    let reported = std::iter::from_fn(|| events.next().now_or_never().flatten());
    assert_eq!(reported.filter(exhausted).count(), 1);
    let stats = hkg.stats();
    let [ref iad] = stats.regions[..] else { panic!("{stats:?}") };
    assert_eq!(iad.region.as_str(), "iad");
    assert!((400..420).contains(&(iad.calls - before)), "{stats:?}");
    // 100 and a fifth of the calls of the last 10 s, whose number is known at each heartbeat.
    assert!((150..=200).contains(&iad.retries), "{stats:?}");
    assert!((200..=400).contains(&iad.refused_retries), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn attempts_share_one_deadline() {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts).region("hkg", 1).start().await;
    let hkg = cluster.node("hkg-0");
    for _ in 0..3 {
        add_overloaded(&cluster, &counts, &hkg).await;
    }
    let start = Instant::now();
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(millis(300));
    let error = probe.shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::Timeout { .. }), "{error:?}");
    assert_eq!(start.elapsed(), millis(300));
}

#[tokio::test(start_paused = true)]
async fn a_wait_outlasts_refusals() {
    let counts = Counts::default();
    let limited = probe_release(&counts).configure(|_, builder| builder.max_in_flight(1));
    let cluster = probe_cluster(&counts).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", limited).start().await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(30));
    let busy = tokio::spawn(probe.slow(4_000));
    sleep(secs(1)).await;
    let start = Instant::now();
    assert!(matches!(probe.shout("a".into()).await, Err(RpcError::Refused { .. })));
    probe.wait(secs(10)).shout("a".into()).await.unwrap();
    assert!(start.elapsed() < secs(4), "{:?}", start.elapsed());
    busy.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_outlasts_refusals_by_as_many_nodes_as_there_are_attempts() {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts).region("hkg", 1).start().await;
    let hkg = cluster.node("hkg-0");
    for _ in 0..3 {
        add_overloaded(&cluster, &counts, &hkg).await;
    }
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(30));
    let start = Instant::now();
    let waiting = tokio::spawn(probe.wait(secs(20)).shout("a".into()));
    sleep(secs(10)).await;
    cluster.add_node_with("iad", probe_release(&counts)).await;
    assert_eq!(waiting.await.unwrap().unwrap().1, "iad-3");
    assert!(start.elapsed() < secs(15), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_call_that_waits_outlasts_a_crash() {
    let counts = Counts::default();
    let cluster = iad_and_hkg(&counts).await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60)).wait(secs(30));
    let call = tokio::spawn(probe.slow_but_repeatable(2_000));
    sleep(secs(1)).await;
    cluster.crash_machine("iad-0");
    sleep(secs(5)).await;
    cluster.restart("iad-0").await;
    assert_eq!(call.await.unwrap().unwrap(), 2_000);
    assert_eq!((counts.started(), counts.finished()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_call_that_may_have_executed_reports_so_after_a_refusal() {
    let counts = Counts::default();
    let cluster = iad_and_hkg(&counts).await;
    let hkg = cluster.node("hkg-0");
    add_overloaded(&cluster, &counts, &hkg).await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(30));
    // Calls that are first sent to the overloaded node are retried on the other one.
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(probe.slow_but_repeatable(9_000))).collect();
    sleep(secs(2)).await;
    assert_eq!(counts.started(), 11);
    cluster.crash_machine("iad-0");
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(error.may_have_executed(), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_call_is_retried_on_another_node_after_a_crash() {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts).region("iad", 2).region("hkg", 1).start().await;
    let hkg = cluster.node("hkg-0");
    sleep(secs(2)).await;
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(probe.slow_but_repeatable(2_000))).collect();
    sleep(secs(1)).await;
    cluster.crash_machine("iad-0");
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 2_000);
    }
    assert!((11..20).contains(&counts.started()), "{}", counts.started());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_never_retried() {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts).region("iad", 2).region("hkg", 1).start().await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(1));
    probe.slow_but_repeatable(20_000).await.unwrap_err();
    sleep(secs(5)).await;
    assert_eq!(counts.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_never_retried() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 2).region("hkg", 1).start().await;
    let hkg = cluster.node("hkg-0");
    let start = Instant::now();
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let error = probe.panic("once".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::Panicked { .. }));
    assert_eq!(start.elapsed(), millis(202));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_link_is_replaced_while_it_waits_for_space_uses_the_new_one() {
    // Both nodes dial and call each other at the same time, so one of the two links is closed.
    for seed in 0..6 {
        // Uses a raw SimNet, because the nodes of a SimCluster start one after another and are
        // linked before a call.
        let net = SimNet::builder().seed(seed).build();
        let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
        let start = async |env| {
            let builder = node_on(env).seeds(["iad-0:3590", "hkg-0:3590"]);
            builder.serve(prober("any", &Counts::default())).start().await.unwrap()
        };
        let (a, b) = (start(&iad).await, start(&hkg).await);
        let (to_a, to_b) = (b.client::<ProbeClient>(), a.client::<ProbeClient>());
        let mut calls = Vec::new();
        for at in 0..500u64 {
            if at % 5 == 0 {
                let size = if at % 50 == 0 { 300_000 } else { 10 };
                calls.push(tokio::spawn(to_a.on_region("iad").echo(vec![0; size])));
                calls.push(tokio::spawn(to_b.on_region("hkg").echo(vec![0; size])));
            }
            sleep(millis(1)).await;
        }
        for call in calls {
            call.await.unwrap().unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_space_is_sent_to_another_node_when_the_link_breaks() {
    let counts = Counts::default();
    let cluster = iad_and_hkg(&counts).await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60));
    cluster.freeze("iad-0");
    // Fills the sockets, so that later requests are not sent.
    let stuck: Vec<_> = (0..40).map(|_| tokio::spawn(probe.echo(vec![0; 60_000]))).collect();
    sleep(millis(300)).await;
    let waiting: Vec<_> = (0..20).map(|_| tokio::spawn(probe.shout("a".into()))).collect();
    sleep(millis(10)).await;
    // Not a node of the cluster, because the cluster would wait for its link to the frozen node.
    let builder = node_on(&cluster.add_host("iad-1", "iad")).seeds(["iad-0:3590", "hkg-0:3590"]);
    let second = builder.serve(prober("iad-1", &counts)).start().await.unwrap();
    second.ready().await;
    for call in waiting {
        assert_eq!(call.await.unwrap().unwrap().1, "iad-1");
    }
    // A large request cannot have started either if its last part was not sent.
    let mut moved = 0;
    for call in stuck {
        match call.await.unwrap() {
            Ok(_) => moved += 1,
            Err(error) => assert!(error.may_have_executed(), "{error:?}"),
        }
    }
    assert!(moved >= 20, "{moved}");
}
