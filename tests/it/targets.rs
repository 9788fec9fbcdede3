//! Where a call goes: what the selectors mean, and what is said where nobody fits.

use flyrpc::{RpcError, Target};
use tokio::time::Instant;

use crate::support::{ProbeClient, World, millis, names, secs, sleep};

#[tokio::test(start_paused = true)]
async fn a_region_is_case_folded_and_an_empty_one_matches_nobody() {
    let mut world = World::new();
    let _iad = world.start("iad-0", "IAD").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let probe: ProbeClient = hkg.client();
    assert_eq!(probe.on_region("Iad").shout("a".into()).await.unwrap().1, "iad-0");
    let error = probe.on_region("").shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }), "{error:?}");
    assert!(names(&hkg, "").is_empty());
    assert_eq!(names(&hkg, "iAD"), ["iad-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_is_called_by_its_id_wherever_it_is() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let other = world.start("iad-1", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let probe: ProbeClient = hkg.client();
    for node in [&iad, &other, &hkg] {
        let (_, by) = probe.on_node(node.id()).shout("a".into()).await.unwrap();
        assert_eq!(by, node.id().name());
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_is_that_of_one_boot() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let probe: ProbeClient = hkg.client();
    let before = iad.id().clone();
    world.net.crash("iad-0");
    drop(iad);
    let again = world.restart("iad-0", "iad").await;
    sleep(secs(10)).await;
    assert_ne!(&before, again.id());
    let start = Instant::now();
    let error = probe.on_node(&before).shout("a".into()).await.unwrap_err();
    assert!(
        matches!(&error, RpcError::NoNode { target: Target::Node(id), .. } if *id == before),
        "{error:?}"
    );
    assert_eq!(start.elapsed(), millis(0));
    assert!(error.to_string().contains("iad-0"), "{error}");
    assert_eq!(probe.on_node(again.id()).shout("a".into()).await.unwrap().1, "iad-0");
}

#[tokio::test(start_paused = true)]
async fn without_a_selector_a_call_runs_here_if_this_node_serves_it() {
    let mut world = World::new();
    let _iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let start = Instant::now();
    let (_, by) = hkg.client::<ProbeClient>().shout("a".into()).await.unwrap();
    assert_eq!((by.as_str(), start.elapsed()), ("hkg-0", millis(0)));
}

#[tokio::test(start_paused = true)]
async fn without_a_selector_a_call_of_a_client_goes_to_the_nearest_that_serves_it() {
    let mut world = World::new();
    let _iad = world.start("iad-0", "iad").await;
    let _lhr = world.start("lhr-0", "lhr").await;
    let _hkg = world.start("hkg-0", "hkg").await;
    // Nearer, but it does not serve anything.
    let (_, builder) = world.builder("fra-1", "fra");
    let _idle = builder.start().await.unwrap();
    let (_, builder) = world.builder("fra-0", "fra");
    let fra = builder.start().await.unwrap();
    fra.ready().await;
    sleep(secs(5)).await;
    for _ in 0..10 {
        let (_, by) = fra.client::<ProbeClient>().shout("a".into()).await.unwrap();
        assert_eq!(by, "lhr-0");
    }
}

#[tokio::test(start_paused = true)]
async fn the_primary_is_in_process_where_it_is_here() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let start = Instant::now();
    let seen = iad.client::<ProbeClient>().on_primary().context().await.unwrap();
    assert!(seen.local);
    assert_eq!(start.elapsed(), millis(0));
    assert_eq!(iad.client::<ProbeClient>().write(1).await.unwrap(), "1 on iad-0");
    let seen = hkg.client::<ProbeClient>().on_primary().context().await.unwrap();
    assert!(!seen.local);
}

#[tokio::test(start_paused = true)]
async fn a_region_without_the_service_here_is_served_by_a_neighbour() {
    let mut world = World::new();
    let _iad = world.start("iad-0", "iad").await;
    let (_, builder) = world.builder("iad-1", "iad");
    let client = builder.start().await.unwrap();
    client.ready().await;
    let probe: ProbeClient = client.client();
    for aim in [probe.clone(), probe.on_region("iad"), probe.on_primary()] {
        assert_eq!(aim.shout("a".into()).await.unwrap().1, "iad-0");
    }
    assert_eq!(probe.write(3).await.unwrap(), "3 on iad-0");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_serves_nothing_is_not_a_node_for_its_own_calls() {
    let mut world = World::new();
    let (_, builder) = world.builder("iad-0", "iad");
    let alone = builder.start().await.unwrap();
    let probe: ProbeClient = alone.client();
    for aim in [probe.clone(), probe.on_region("iad"), probe.on_primary()] {
        let error = aim.shout("a".into()).await.unwrap_err();
        assert!(matches!(error, RpcError::NoNode { .. }), "{error:?}");
    }
    // It is there, it just cannot.
    let error = probe.on_node(alone.id()).shout("a".into()).await.unwrap_err();
    assert!(
        matches!(&error, RpcError::Unsupported { node, .. } if node == alone.info()),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn calls_are_spread_over_the_nodes_of_a_region() {
    let mut world = World::new();
    for name in ["iad-0", "iad-1", "iad-2"] {
        // Kept alive by the clients that it hands out.
        Box::leak(Box::new(world.start(name, "iad").await));
    }
    let hkg = world.start("hkg-0", "hkg").await;
    sleep(secs(5)).await;
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let mut by = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..300 {
        *by.entry(probe.shout("a".into()).await.unwrap().1).or_default() += 1;
    }
    assert!(by.len() == 3 && by.values().all(|count| (60..140).contains(count)), "{by:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_rides_out_a_region_that_comes_up_later() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let probe: ProbeClient = iad.client();
    let start = Instant::now();
    let call = probe.on_region("hkg").timeout(secs(60)).wait(secs(20)).shout("a".into());
    let call = tokio::spawn(call);
    sleep(secs(7)).await;
    let _hkg = world.start("hkg-0", "hkg").await;
    assert_eq!(call.await.unwrap().unwrap().1, "hkg-0");
    assert!(start.elapsed() < secs(9), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_in_no_node_and_within_the_deadline() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let probe = iad.client::<ProbeClient>().on_region("hkg");
    let start = Instant::now();
    let error = probe.timeout(secs(60)).wait(secs(20)).shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }), "{error:?}");
    assert_eq!(start.elapsed(), secs(20));
    let start = Instant::now();
    let error = probe.timeout(secs(3)).wait(secs(20)).shout("a".into()).await.unwrap_err();
    assert!(!error.may_have_executed(), "{error:?}");
    assert_eq!(start.elapsed(), secs(3));
}

#[tokio::test(start_paused = true)]
async fn region_of_and_supports_ask_the_node_itself() {
    let mut world = World::new();
    let (_, builder) = world.builder("iad-0", "iad");
    let iad = builder.start().await.unwrap();
    let hkg = world.start("hkg-0", "hkg").await;
    let start = Instant::now();
    assert_eq!(hkg.region_of(iad.id()).await.unwrap(), *iad.region());
    assert_eq!(start.elapsed(), millis(202));
    assert!(hkg.supports(iad.id()).await.unwrap());
    assert_eq!(hkg.region_of(hkg.id()).await.unwrap(), *hkg.region());
    let gone = iad.id().clone();
    iad.shutdown().await;
    assert!(matches!(hkg.supports(&gone).await, Err(RpcError::NoNode { .. })));
}
