//! The target of a call: selectors, and the errors when no node matches.

use flyrpc::{RpcError, Target};
use flyrpc_testkit::{Release, SimCluster};
use tokio::time::Instant;

use crate::support::{
    Counts, ProbeClient, iad_and_hkg, millis, node_names, probe_cluster, probe_release, secs, sleep,
};

#[tokio::test(start_paused = true)]
async fn a_region_is_case_insensitive_and_an_empty_one_matches_no_node() {
    let cluster = probe_cluster(&Counts::default()).region("IAD", 1).region("hkg", 1).start().await;
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    assert_eq!(probe.on_region("Iad").shout("a".into()).await.unwrap().1, "iad-0");
    let error = probe.on_region("").shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }), "{error:?}");
    assert!(node_names(&hkg, "").is_empty());
    assert_eq!(node_names(&hkg, "iAD"), ["iad-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_is_called_by_its_id_wherever_it_is() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 2).region("hkg", 1).start().await;
    let iad = cluster.node("iad-0");
    let other = cluster.node("iad-1");
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    for node in [&iad, &other, &hkg] {
        let (_, by) = probe.on_node(node.id()).shout("a".into()).await.unwrap();
        assert_eq!(by, node.id().name());
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_id_identifies_one_boot() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let iad = cluster.node("iad-0");
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    let before = iad.id().clone();
    cluster.crash_machine("iad-0");
    drop(iad);
    cluster.restart("iad-0").await;
    let again = cluster.node("iad-0");
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
async fn without_a_selector_a_call_is_local_if_this_node_serves_it() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let hkg = cluster.node("hkg-0");
    let start = Instant::now();
    let (_, by) = hkg.client::<ProbeClient>().shout("a".into()).await.unwrap();
    assert_eq!((by.as_str(), start.elapsed()), ("hkg-0", millis(0)));
}

#[tokio::test(start_paused = true)]
async fn without_a_selector_a_call_goes_to_the_nearest_node_that_serves_it() {
    let cluster = probe_cluster(&Counts::default())
        .region("iad", 1)
        .region("lhr", 1)
        .region("hkg", 1)
        .start()
        .await;
    // These nodes are nearer, but do not serve anything.
    cluster.add_node_with("fra", Release::new()).await;
    let fra = cluster.node(cluster.add_node_with("fra", Release::new()).await);
    sleep(secs(5)).await;
    for _ in 0..10 {
        let (_, by) = fra.client::<ProbeClient>().shout("a".into()).await.unwrap();
        assert_eq!(by, "lhr-0");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_to_the_primary_is_local_on_a_primary_node() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let iad = cluster.node("iad-0");
    let hkg = cluster.node("hkg-0");
    let start = Instant::now();
    let seen = iad.client::<ProbeClient>().on_primary().context().await.unwrap();
    assert!(seen.local);
    assert_eq!(start.elapsed(), millis(0));
    assert_eq!(iad.client::<ProbeClient>().write(1).await.unwrap(), "1 on iad-0");
    let seen = hkg.client::<ProbeClient>().on_primary().context().await.unwrap();
    assert!(!seen.local);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_the_service_calls_another_of_its_region() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).start().await;
    let caller = cluster.node(cluster.add_node_with("iad", Release::new()).await);
    let probe: ProbeClient = caller.client();
    for client in [probe.clone(), probe.on_region("iad"), probe.on_primary()] {
        assert_eq!(client.shout("a".into()).await.unwrap().1, "iad-0");
    }
    assert_eq!(probe.write(3).await.unwrap(), "3 on iad-0");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_serves_nothing_is_not_a_candidate_for_its_own_calls() {
    let cluster = SimCluster::builder().region("iad", 1).start().await;
    let alone = cluster.node("iad-0");
    let probe: ProbeClient = alone.client();
    for client in [probe.clone(), probe.on_region("iad"), probe.on_primary()] {
        let error = client.shout("a".into()).await.unwrap_err();
        assert!(matches!(error, RpcError::NoNode { .. }), "{error:?}");
    }
    // The node exists, but does not provide the service.
    let error = probe.on_node(alone.id()).shout("a".into()).await.unwrap_err();
    assert!(
        matches!(&error, RpcError::Unsupported { node, .. } if node == alone.info()),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn calls_are_spread_over_the_nodes_of_a_region() {
    let cluster = probe_cluster(&Counts::default());
    let cluster = cluster.region("iad", 3).region("hkg", 1).start().await;
    let hkg = cluster.node("hkg-0");
    sleep(secs(5)).await;
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    let mut by = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..300 {
        *by.entry(probe.shout("a".into()).await.unwrap().1).or_default() += 1;
    }
    assert!(by.len() == 3 && by.values().all(|count| (60..140).contains(count)), "{by:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_can_wait_for_a_region_that_comes_up_later() {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts).region("iad", 1).start().await;
    let probe: ProbeClient = cluster.node("iad-0").client();
    let start = Instant::now();
    let call = probe.on_region("hkg").timeout(secs(60)).wait(secs(20)).shout("a".into());
    let call = tokio::spawn(call);
    sleep(secs(7)).await;
    cluster.add_node_with("hkg", probe_release(&counts)).await;
    assert_eq!(call.await.unwrap().unwrap().1, "hkg-0");
    assert!(start.elapsed() < secs(9), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_no_node_and_within_the_deadline() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).start().await;
    let iad = cluster.node("iad-0");
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
async fn region_of_and_supports_query_the_node_itself() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("iad-0", Release::new()).start().await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    let start = Instant::now();
    assert_eq!(hkg.region_of(iad.id()).await.unwrap(), *iad.region());
    assert_eq!(start.elapsed(), millis(202));
    assert!(hkg.supports(iad.id()).await.unwrap());
    assert_eq!(hkg.region_of(hkg.id()).await.unwrap(), *hkg.region());
    let gone = iad.id().clone();
    iad.shutdown().await;
    assert!(matches!(hkg.supports(&gone).await, Err(RpcError::NoNode { .. })));
}
