//! The primary region, and nodes that do not agree on it.

use flyrpc::{Node, RpcError};
use tokio::time::Instant;

use crate::support::{EventLog, ProbeClient, World, millis, peer, secs, sleep};

/// A node that takes `primary` for the primary region.
async fn node(world: &mut World, name: &str, primary: &str) -> Node {
    let (_, builder) = world.builder(name, &name[..3]);
    let builder = builder.primary_region(primary).serve(world.prober(name));
    let node = builder.start().await.unwrap();
    node.ready().await;
    node
}

#[tokio::test(start_paused = true)]
async fn a_call_aimed_at_the_primary_is_refused_by_a_node_that_does_not_think_so() {
    let mut world = World::new();
    let _iad = node(&mut world, "iad-0", "lhr").await;
    let hkg = node(&mut world, "hkg-0", "iad").await;
    let probe: ProbeClient = hkg.client();
    for error in
        [probe.on_primary().shout("a".into()).await.unwrap_err(), probe.write(1).await.unwrap_err()]
    {
        assert!(
            matches!(&error, RpcError::NotPrimary { theirs, ours, .. }
                if *theirs == *"lhr" && *ours == *"iad"),
            "{error:?}"
        );
        assert!(!error.may_have_executed());
    }
    assert_eq!(world.counts.begun(), 0);
    // Aimed at the region alone it is nobody's business.
    probe.on_region("iad").shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_aimed_at_the_primary_finds_the_node_that_agrees() {
    let mut world = World::new();
    let _wrong = node(&mut world, "iad-0", "lhr").await;
    let _right = node(&mut world, "iad-1", "iad").await;
    let hkg = node(&mut world, "hkg-0", "iad").await;
    sleep(secs(2)).await;
    for _ in 0..20 {
        let (_, by) = hkg.client::<ProbeClient>().on_primary().shout("a".into()).await.unwrap();
        assert_eq!(by, "iad-1");
    }
}

#[tokio::test(start_paused = true)]
async fn disagreement_is_told_once_at_both_ends_and_seen_in_peers() {
    let mut world = World::new();
    let iad = node(&mut world, "iad-0", "iad").await;
    let logs = EventLog::of(&iad);
    let hkg = node(&mut world, "hkg-0", "hkg").await;
    let log = EventLog::of(&hkg);
    sleep(secs(60)).await;
    assert_eq!(peer(&iad, "hkg-0").primary_region, Some("hkg".into()));
    assert_eq!(peer(&hkg, "iad-0").primary_region, Some("iad".into()));
    let told = |log: &EventLog| {
        log.all().into_iter().filter(|event| event.starts_with("primary")).collect::<Vec<_>>()
    };
    assert_eq!(told(&logs), ["primary of hkg-0: hkg not iad"]);
    assert!(told(&log).len() <= 1);
    // Each runs what it takes to be its own.
    assert_eq!(hkg.client::<ProbeClient>().write(1).await.unwrap(), "1 on hkg-0");
    assert_eq!(iad.client::<ProbeClient>().write(1).await.unwrap(), "1 on iad-0");
}

#[tokio::test(start_paused = true)]
async fn a_call_to_the_primary_with_a_wait_survives_a_move() {
    let mut world = World::new();
    let wrong = node(&mut world, "iad-0", "lhr").await;
    let hkg = node(&mut world, "hkg-0", "iad").await;
    let probe = hkg.client::<ProbeClient>().on_primary().timeout(secs(30));
    let call = tokio::spawn(probe.wait(secs(20)).write(5));
    sleep(secs(4)).await;
    wrong.shutdown().await;
    let env = world.net.restart("iad-0");
    let builder = world.builder_on(&env, "iad-0", "iad").serve(world.prober("iad-0"));
    let _right = builder.start().await.unwrap();
    let start = Instant::now();
    assert_eq!(call.await.unwrap().unwrap(), "5 on iad-0");
    assert!(start.elapsed() < secs(10), "{:?}", start.elapsed());
    assert_eq!(world.counts.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_primary_without_nodes_is_no_node_and_names_the_region() {
    let mut world = World::new();
    let hkg = node(&mut world, "hkg-0", "lhr").await;
    let start = Instant::now();
    let error = hkg.client::<ProbeClient>().write(1).await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }), "{error:?}");
    assert!(error.to_string().contains("lhr"), "{error}");
    assert_eq!(start.elapsed(), millis(0));
}
