//! The primary region, and nodes whose configured primary regions differ.

use flyrpc::RpcError;
use flyrpc_testkit::{Release, SimCluster, SimClusterBuilder};
use tokio::time::Instant;

use crate::support::{
    Counts, EventLog, ProbeClient, millis, peer_named, probe_release, secs, sleep,
};

/// A release whose nodes are configured with the given primary region.
fn release(counts: &Counts, primary: &'static str) -> Release {
    probe_release(counts).configure(move |_, builder| builder.primary_region(primary))
}

/// A cluster of the given nodes. Each is named `<region>-<number>`, and is paired with its primary
/// region.
fn cluster(counts: &Counts, nodes: &[(&str, &'static str)]) -> SimClusterBuilder {
    nodes.iter().fold(SimCluster::builder(), |cluster, (name, primary)| {
        cluster.region(&name[..3], 1).node(*name, release(counts, primary))
    })
}

#[tokio::test(start_paused = true)]
async fn a_call_to_the_primary_is_refused_by_a_node_that_disagrees() {
    let counts = Counts::default();
    let cluster = cluster(&counts, &[("iad-0", "lhr"), ("hkg-0", "iad")]).start().await;
    let probe: ProbeClient = cluster.node("hkg-0").client();
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
    assert_eq!(counts.started(), 0);
    // A call to the region does not depend on which region is primary.
    probe.on_region("iad").shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_to_the_primary_finds_the_node_that_agrees() {
    let nodes = [("iad-0", "lhr"), ("iad-1", "iad"), ("hkg-0", "iad")];
    let cluster = cluster(&Counts::default(), &nodes).start().await;
    let hkg = cluster.node("hkg-0");
    sleep(secs(2)).await;
    for _ in 0..20 {
        let (_, by) = hkg.client::<ProbeClient>().on_primary().shout("a".into()).await.unwrap();
        assert_eq!(by, "iad-1");
    }
}

#[tokio::test(start_paused = true)]
async fn disagreement_is_one_event_at_each_end_and_visible_in_peers() {
    let counts = Counts::default();
    let cluster = cluster(&counts, &[("iad-0", "iad")]).start().await;
    let iad = cluster.node("iad-0");
    let iad_log = EventLog::of(&iad);
    let hkg = cluster.node(cluster.add_node_with("hkg", release(&counts, "hkg")).await);
    let hkg_log = EventLog::of(&hkg);
    sleep(secs(60)).await;
    assert_eq!(peer_named(&iad, "hkg-0").primary_region, Some("hkg".into()));
    assert_eq!(peer_named(&hkg, "iad-0").primary_region, Some("iad".into()));
    let disagreements = |log: &EventLog| {
        log.all().into_iter().filter(|event| event.starts_with("primary")).collect::<Vec<_>>()
    };
    assert_eq!(disagreements(&iad_log), ["primary of hkg-0: hkg not iad"]);
    assert!(disagreements(&hkg_log).len() <= 1);
    // Each node executes primary calls according to its own configuration.
    assert_eq!(hkg.client::<ProbeClient>().write(1).await.unwrap(), "1 on hkg-0");
    assert_eq!(iad.client::<ProbeClient>().write(1).await.unwrap(), "1 on iad-0");
}

#[tokio::test(start_paused = true)]
async fn a_call_to_the_primary_that_waits_succeeds_after_a_move() {
    let counts = Counts::default();
    let cluster = cluster(&counts, &[("iad-0", "lhr"), ("hkg-0", "iad")]).start().await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_primary().timeout(secs(30));
    let call = tokio::spawn(probe.wait(secs(20)).write(5));
    sleep(secs(4)).await;
    cluster.shutdown("iad-0").await;
    let start = Instant::now();
    cluster.replace("iad-0", release(&counts, "iad")).await;
    assert_eq!(call.await.unwrap().unwrap(), "5 on iad-0");
    assert!(start.elapsed() < secs(10), "{:?}", start.elapsed());
    assert_eq!(counts.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_to_a_primary_without_nodes_fails_and_names_the_region() {
    let cluster = cluster(&Counts::default(), &[("hkg-0", "lhr")]).start().await;
    let hkg = cluster.node("hkg-0");
    let start = Instant::now();
    let error = hkg.client::<ProbeClient>().write(1).await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }), "{error:?}");
    assert!(error.to_string().contains("lhr"), "{error}");
    assert_eq!(start.elapsed(), millis(0));
}
