//! One node in each region.

use std::collections::BTreeSet;

use flyrpc::{Nodes, Refusal, RpcError};
use tokio::time::Instant;

use super::{Load, PlaceClient, cluster_of, names};
use crate::support::{secs, sleep};

const REGIONS: &[(&str, usize)] = &[("iad", 3), ("fra", 2), ("hkg", 1)];

#[tokio::test(start_paused = true)]
async fn one_node_of_each_region_is_called_and_this_one_in_its_region() {
    let cluster = cluster_of(REGIONS, &Load::default()).start().await;
    let place: PlaceClient = cluster.node("iad-1").client();
    let mut called = BTreeSet::new();
    for _ in 0..40 {
        let replies = place.each(Nodes::one_per_region(), |place| place.name()).collect().await;
        assert_eq!(names(&replies).len(), 3);
        let regions: BTreeSet<_> = replies.iter().map(|(node, _)| node.region().clone()).collect();
        assert_eq!(regions.len(), 3, "{replies:?}");
        for (node, reply) in replies {
            assert_eq!(node.name(), reply.unwrap(), "the item names the node that replied");
            called.insert(node.name().to_owned());
        }
    }
    let called: Vec<_> = called.iter().map(String::as_str).collect();
    assert_eq!(called, ["fra-0", "fra-1", "hkg-0", "iad-1"]);
}

#[tokio::test(start_paused = true)]
async fn another_node_of_the_region_replies_if_one_does_not_accept_the_call() {
    let cluster = cluster_of(REGIONS, &Load::default()).start().await;
    let place: PlaceClient = cluster.node("hkg-0").client();
    for held in ["iad-0", "iad-2", "fra-1"] {
        cluster.node(held).hold();
    }
    sleep(secs(1)).await;
    for _ in 0..20 {
        let replies = place.each(Nodes::one_per_region(), |place| place.work(1)).collect().await;
        let names = BTreeSet::from_iter(names(&replies));
        assert_eq!(names, BTreeSet::from(["fra-0", "hkg-0", "iad-1"]));
    }
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_call_on_a_frozen_node_is_answered_by_another_of_its_region() {
    let cluster = cluster_of(&[("iad", 2), ("hkg", 1)], &Load::default()).start().await;
    let place: PlaceClient = cluster.node("hkg-0").client();
    for frozen in ["iad-0", "iad-1"] {
        let _frozen = cluster.frozen(frozen);
        let other = if frozen == "iad-0" { "iad-1" } else { "iad-0" };
        for _ in 0..5 {
            let start = Instant::now();
            let replies = place.each(Nodes::one_per_region(), |place| place.name()).collect().await;
            assert_eq!(names(&replies), ["hkg-0", other]);
            assert!(start.elapsed() < secs(3), "{:?}", start.elapsed());
        }
        drop(_frozen);
        cluster.settled().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_without_a_node_that_accepts_the_call_yields_one_error() {
    let cluster = cluster_of(REGIONS, &Load::default()).start().await;
    let place: PlaceClient = cluster.node("hkg-0").client();
    for held in ["fra-0", "fra-1"] {
        cluster.node(held).hold();
    }
    sleep(secs(1)).await;
    let replies = place.each(Nodes::one_per_region(), |place| place.name()).collect().await;
    let (failed, replied): (Vec<_>, Vec<_>) =
        replies.into_iter().partition(|(_, result)| result.is_err());
    assert_eq!(replied.len(), 2);
    let [(node, Err(RpcError::Refused { node: of, reason, .. }))] = &failed[..] else {
        panic!("{failed:?}")
    };
    assert_eq!((node.region().as_str(), of, *reason), ("fra", node, Refusal::Held));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_region_names_the_node_that_was_called() {
    let cluster = cluster_of(REGIONS, &Load::default()).start().await;
    let place: PlaceClient = cluster.node("hkg-0").client();
    for _ in 0..10 {
        for (node, result) in
            place.each(Nodes::one_per_region(), |place| place.panic()).collect().await
        {
            let error = result.unwrap_err();
            assert!(matches!(error, RpcError::Panicked { .. }), "{error:?}");
            assert_eq!(error.node(), Some(&node));
        }
    }
}
