//! Which calls are tried on another node, how often, and what is said when none took them.

use std::sync::Arc;

use flyrpc::{Node, Refusal, RpcError};
use tokio::time::Instant;

use crate::support::{ProbeClient, World, millis, secs, sleep};

/// Starts a node in iad that is as busy, for minutes, as it may be.
async fn full(world: &mut World, caller: &Node, name: &str) {
    let (_, builder) = world.builder(name, "iad");
    let node = builder.serve(world.prober(name)).max_in_flight(1).start().await.unwrap();
    sleep(secs(3)).await;
    let probe = caller.client::<ProbeClient>().on_node(node.id()).timeout(secs(600));
    tokio::spawn(async move {
        let _ = probe.slow(500_000).await;
        drop(node);
    });
    sleep(secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refuses_is_replaced_by_another() {
    let mut world = World::new();
    let (_, builder) = world.builder("iad-0", "iad");
    let full = builder.serve(world.prober("iad-0")).max_in_flight(1).start().await.unwrap();
    let _free = world.start("iad-1", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    sleep(secs(2)).await;
    let probe: ProbeClient = hkg.client();
    let _busy = tokio::spawn(probe.on_node(full.id()).timeout(secs(60)).slow(50_000));
    sleep(secs(1)).await;
    let mut second = 0;
    for _ in 0..40 {
        let start = Instant::now();
        let seen = probe.on_region("iad").context().await.unwrap();
        assert_eq!(start.elapsed(), millis(202 * u64::from(seen.attempt)));
        second += seen.attempt - 1;
    }
    assert!((5..35).contains(&second), "{second}");
    assert_eq!(world.counts.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_sent_three_times_at_most() {
    let mut world = World::new();
    let hkg = world.start("hkg-0", "hkg").await;
    for name in ["iad-0", "iad-1", "iad-2", "iad-3", "iad-4"] {
        full(&mut world, &hkg, name).await;
    }
    let start = Instant::now();
    let error = hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::Refused { reason: Refusal::Overloaded, .. }), "{error:?}");
    assert!(!error.may_have_executed());
    assert_eq!(start.elapsed(), millis(3 * 202));
}

#[tokio::test(start_paused = true)]
async fn attempts_share_one_deadline() {
    let mut world = World::new();
    let hkg = world.start("hkg-0", "hkg").await;
    for name in ["iad-0", "iad-1", "iad-2"] {
        full(&mut world, &hkg, name).await;
    }
    let start = Instant::now();
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(millis(300));
    let error = probe.shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::Timeout { .. }), "{error:?}");
    assert_eq!(start.elapsed(), millis(300));
}

#[tokio::test(start_paused = true)]
async fn a_wait_outlasts_refusals() {
    let mut world = World::new();
    let (_, builder) = world.builder("iad-0", "iad");
    let _iad = builder.serve(world.prober("iad-0")).max_in_flight(1).start().await.unwrap();
    let hkg = world.start("hkg-0", "hkg").await;
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
async fn a_wait_outlasts_refusals_of_as_many_nodes_as_are_tried() {
    let mut world = World::new();
    let hkg = world.start("hkg-0", "hkg").await;
    for name in ["iad-0", "iad-1", "iad-2"] {
        full(&mut world, &hkg, name).await;
    }
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(30));
    let start = Instant::now();
    let waiting = tokio::spawn(probe.wait(secs(20)).shout("a".into()));
    sleep(secs(10)).await;
    let _free = world.start("iad-3", "iad").await;
    assert_eq!(waiting.await.unwrap().unwrap().1, "iad-3");
    assert!(start.elapsed() < secs(15), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_call_that_waits_outlasts_a_crash() {
    let mut world = World::new();
    let _first = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60)).wait(secs(30));
    let call = tokio::spawn(probe.slow_but_repeatable(2_000));
    sleep(secs(1)).await;
    world.net.crash("iad-0");
    sleep(secs(5)).await;
    let _second = world.restart("iad-0", "iad").await;
    assert_eq!(call.await.unwrap().unwrap(), 2_000);
    assert_eq!((world.counts.begun(), world.counts.ended()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_call_that_may_have_run_says_so_though_the_last_node_refused_it() {
    let mut world = World::new();
    let first = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    full(&mut world, &hkg, "iad-1").await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(30));
    // Those that go to the full node first come to the other one too.
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(probe.slow_but_repeatable(9_000))).collect();
    sleep(secs(2)).await;
    assert_eq!(world.counts.begun(), 11);
    world.net.crash("iad-0");
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(error.may_have_executed(), "{error:?}");
    }
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_call_moves_to_another_node_and_knows_its_attempt() {
    let mut world = World::new();
    let _first = world.start("iad-0", "iad").await;
    let _second = world.start("iad-1", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    sleep(secs(2)).await;
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(probe.slow_but_repeatable(2_000))).collect();
    sleep(secs(1)).await;
    world.net.crash("iad-0");
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 2_000);
    }
    assert!((11..20).contains(&world.counts.begun()), "{}", world.counts.begun());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_never_tried_again() {
    let mut world = World::new();
    let _first = world.start("iad-0", "iad").await;
    let _second = world.start("iad-1", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(1));
    probe.slow_but_repeatable(20_000).await.unwrap_err();
    sleep(secs(5)).await;
    assert_eq!(world.counts.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_never_tried_again() {
    let mut world = World::new();
    let _first = world.start("iad-0", "iad").await;
    let _second = world.start("iad-1", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let start = Instant::now();
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let error = probe.panic("once".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::Panicked { .. }));
    assert_eq!(start.elapsed(), millis(202));
    drop(Arc::new(error));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_link_is_replaced_while_it_waits_for_space_uses_the_new_one() {
    // Both nodes dial at the same moment, and both call at once: one of the links is given up.
    for seed in 0..6 {
        let mut world = World::seeded(seed);
        let (_, a) = world.builder("iad-0", "iad");
        let (_, b) = world.builder("hkg-0", "hkg");
        let seeds = ["iad-0:3590", "hkg-0:3590"];
        let (a, b) = (a.seeds(seeds), b.seeds(seeds));
        let a = a.serve(world.prober("iad-0")).start().await.unwrap();
        let b = b.serve(world.prober("hkg-0")).start().await.unwrap();
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
async fn a_call_that_waits_for_space_goes_elsewhere_when_the_link_breaks() {
    let mut world = World::new();
    let _first = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60));
    world.net.freeze("iad-0");
    // Fills the sockets, so that what follows is not sent.
    let stuck: Vec<_> = (0..40).map(|_| tokio::spawn(probe.echo(vec![0; 60_000]))).collect();
    sleep(millis(300)).await;
    let waiting: Vec<_> = (0..20).map(|_| tokio::spawn(probe.shout("a".into()))).collect();
    sleep(millis(10)).await;
    let _second = world.start("iad-1", "iad").await;
    for call in waiting {
        assert_eq!(call.await.unwrap().unwrap().1, "iad-1");
    }
    // A large one whose last part was not sent cannot have started either.
    let mut moved = 0;
    for call in stuck {
        match call.await.unwrap() {
            Ok(_) => moved += 1,
            Err(error) => assert!(error.may_have_executed(), "{error:?}"),
        }
    }
    assert!(moved >= 20, "{moved}");
}
