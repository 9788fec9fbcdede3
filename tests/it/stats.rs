//! What a node counts.

use std::collections::BTreeMap;

use flyrpc::{Denied, Node, RpcError, Stats};
use flyrpc_testkit::SimCluster;
use futures_util::FutureExt;

use crate::support::{Counts, ProbeClient, millis, probe_cluster, probe_release, secs, sleep};

/// A cluster of iad-0, which is primary, and hkg-0, which denies `produce`.
async fn cluster() -> (SimCluster, Node, Node) {
    let release = probe_release(&Counts::default()).configure(|_, builder| {
        builder.max_in_flight(2).authorize(|admission| match admission.method() {
            "produce" => Err(Denied::new("as the test decides")),
            _ => Ok(()),
        })
    });
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).region("hkg", 1);
    let cluster = cluster.node("hkg-0", release).start().await;
    let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
    (cluster, iad, hkg)
}

fn to_hkg(iad: &Node) -> ProbeClient {
    iad.client::<ProbeClient>().on_region("hkg")
}

/// Returns the number of ended handlers of a method, and their time in milliseconds.
fn handler(stats: &Stats, method: &str) -> (u64, u128) {
    let found = stats.handlers.iter().find(|it| it.method == method).unwrap();
    assert_eq!(found.service, "Probe");
    (found.calls, found.time.as_millis())
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted_by_outcome_and_handlers_by_time() {
    let (_cluster, iad, hkg) = cluster().await;
    let probe = to_hkg(&iad);
    assert_eq!(iad.stats().calls, BTreeMap::new(), "calls between nodes are not counted");
    for _ in 0..5 {
        probe.slow(100).await.unwrap();
    }
    assert_eq!(probe.fail().await.unwrap(), Err("no".to_owned()));
    // In process.
    iad.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
    let _ = probe.panic("boom".into()).await;
    let _ = probe.timeout(millis(500)).slow(1_000).await;
    let _ = probe.on_region("syd").shout("a".into()).await;
    // Dropped in flight, on a link and in process.
    for region in ["hkg", "iad"] {
        let mut dropped = Box::pin(probe.on_region(region).slow(1_000));
        assert!((&mut dropped).now_or_never().is_none());
        sleep(millis(300)).await;
        drop(dropped);
    }
    sleep(secs(1)).await;
    let expected = [("CANCELLED", 2), ("NO_NODE", 1), ("OK", 7), ("PANICKED", 1), ("TIMEOUT", 1)];
    assert_eq!(iad.stats().calls, expected.into());
    let stats = hkg.stats();
    let (calls, millis) = handler(&stats, "slow");
    assert_eq!(calls, 7);
    assert!((1_050..1_300).contains(&millis), "{millis}: 5 × 100, 300, and 500 less a trip");
    assert_eq!(handler(&stats, "panic").0, 1);
    assert_eq!(handler(&stats, "shout"), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn refusals_are_counted_by_reason() {
    let (_cluster, iad, hkg) = cluster().await;
    let probe = to_hkg(&iad);
    let _ = probe.produce(1).await.unwrap_err();
    let hanging = [probe.slow(2_000), probe.slow(2_000)].map(tokio::spawn);
    sleep(millis(300)).await;
    assert_eq!((hkg.stats().in_flight, hkg.stats().links[0].requests), (2, 2));
    assert_eq!(iad.stats().links[0].calls, 2);
    let refused = probe.slow(1).await.unwrap_err();
    assert!(matches!(refused, RpcError::Refused { .. }), "{refused}");
    for hanging in hanging {
        hanging.await.unwrap().unwrap();
    }
    let refusals = hkg.stats().refusals;
    assert_eq!(refusals, [("DENIED", 1), ("OVERLOADED", 1)].into());
    assert_eq!((hkg.stats().in_flight, iad.stats().links[0].calls), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_wait_to_be_written_are_counted_by_link() {
    let (cluster, iad, hkg) = cluster().await;
    assert_eq!(iad.stats().links[0].queued_bytes, 0);
    let _throttled = cluster.net().throttle("iad-0", "hkg-0", 10_000);
    let long = tokio::spawn(to_hkg(&iad).timeout(secs(600)).echo(vec![7; 2_000_000]));
    sleep(secs(1)).await;
    let link = &iad.stats().links[0];
    assert_eq!(&link.node, hkg.info());
    assert!((1_000_000..2_000_100).contains(&link.queued_bytes), "{link:?}");
    let serving = hkg.stats();
    assert!(serving.body_bytes >= 2_000_000, "{serving:?}");
    assert_eq!(serving.links[0].body_bytes, serving.body_bytes);
    long.abort();
}

#[tokio::test(start_paused = true)]
async fn dials_handshakes_and_gossip_are_counted() {
    let (cluster, iad, hkg) = cluster().await;
    sleep(secs(30)).await;
    let (of_iad, of_hkg) = (iad.stats(), hkg.stats());
    assert!(of_iad.dials + of_hkg.dials >= 1);
    for stats in [&of_iad, &of_hkg] {
        assert!(stats.handshakes.get("OK") >= Some(&1), "{:?}", stats.handshakes);
        assert!(stats.gossip.sent > 5 && stats.gossip.received > 5, "{:?}", stats.gossip);
        assert_eq!((stats.gossip.dropped.len(), stats.held), (0, 0));
    }
    cluster.crash("hkg-0");
    sleep(secs(30)).await;
    assert!(iad.stats().dials > of_iad.dials);
    assert_eq!(iad.stats().links, []);
    let json = serde_json::to_value(iad.stats()).unwrap();
    assert!(json["handlers"][0]["time"].is_f64(), "{json}");
}
