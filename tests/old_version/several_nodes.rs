//! Calls that have a choice between old and new nodes.

use std::mem::ManuallyDrop;

use flyrpc::{Node, NodeInfo, Nodes, RpcError};
use tokio::runtime::Runtime;

use crate::{
    client, eventually, names, new_node, old_and_new, old_and_new_with, old_node::OldNode,
    start_with_handlers, work::STALLING,
};

#[tokio::test]
async fn an_idempotent_call_is_repeated_on_a_new_node_if_the_old_one_is_killed() {
    let (mut old, new) = old_and_new().await;
    let work = client(&new).on_region("iad");
    let (repeated, lost) = (tokio::spawn(work.load()), tokio::spawn(work.stall()));
    old.event("started load").await;
    let _other = new_node("other", "iad", &[new.addr()]).await;
    eventually(async || names(&new, "iad").len() == 2).await;
    old.kill().await;
    assert_eq!(repeated.await.unwrap().unwrap(), "other");
    let lost = lost.await.unwrap().unwrap_err();
    assert!(matches!(&lost, RpcError::Disconnected { .. }), "{lost}");
}

#[tokio::test]
async fn an_old_node_repeats_an_idempotent_call_if_a_new_node_is_lost() {
    // A runtime must not be dropped here, which would happen if this test failed.
    let doomed = ManuallyDrop::new(Runtime::new().unwrap());
    let (stalling, mut handlers) =
        doomed.spawn(start_with_handlers(Node::builder(), STALLING, "hkg", &[])).await.unwrap();
    let mut old = OldNode::start(&[stalling.addr()]).await;
    old.run("begin hkg+wait load").await;
    assert_eq!(handlers.event().await, "started load");
    let _other = new_node("other", "hkg", &[old.addr()]).await;
    old.event("up other").await;
    ManuallyDrop::into_inner(doomed).shutdown_background();
    assert_eq!(old.run("finish").await, "other");
}

#[tokio::test]
async fn a_hedged_call_gets_its_reply_from_a_new_node_if_the_old_one_stalls() {
    let (mut old, new) = old_and_new().await;
    let (other, mut handlers) =
        start_with_handlers(Node::builder(), "other", "iad", &[new.addr()]).await;
    eventually(async || names(&new, "iad").len() == 2).await;
    let work = client(&new);
    // So that the first attempt goes to the old node, which costs less.
    let busy: Vec<_> = (0..5).map(|_| tokio::spawn(work.on_node(other.id()).stall())).collect();
    for _ in &busy {
        assert_eq!(handlers.event().await, "started stall");
    }
    assert_eq!(work.on_region("iad").search().await.unwrap(), "other");
    old.event("started search").await;
    old.event("canceled search").await;
}

#[tokio::test]
async fn each_node_of_both_versions_is_called() {
    let (_old, new) = old_and_new().await;
    let _other = new_node("other", "iad", &[new.addr()]).await;
    eventually(async || names(&new, "iad").len() == 2).await;
    let work = client(&new).metadata("tenant", "a");
    let replies = work.each(Nodes::all(), |work| work.name()).collect().await;
    let mut replies: Vec<(String, String)> = replies.into_iter().map(reply).collect();
    replies.sort();
    assert_eq!(replies, ["new", "old", "other"].map(|name| (name.to_owned(), name.to_owned())));
}

fn reply((node, reply): (NodeInfo, Result<String, RpcError>)) -> (String, String) {
    (node.name().to_owned(), reply.unwrap())
}

#[tokio::test]
async fn a_call_goes_to_its_next_target_if_an_old_node_refuses_it() {
    let (mut old, new, _) = old_and_new_with(&["max_in_flight=1"], Node::builder()).await;
    let _other = new_node("other", "nrt", &[new.addr()]).await;
    eventually(async || names(&new, "nrt").len() == 1).await;
    let work = client(&new).on_region("iad");
    let fallback = work.or_region("nrt");
    assert_eq!(fallback.name().await.unwrap(), "old");
    let stalled = tokio::spawn(work.stall());
    old.event("started stall").await;
    assert_eq!(fallback.name().await.unwrap(), "other");
    old.run("release").await;
    stalled.await.unwrap().unwrap();
}
