//! Calls that a node refuses, because of its state or its limits.

use flyrpc::{Node, Nodes, Refusal, RpcError};

use crate::{
    GENEROUS_TIMEOUT, client, eventually, old_and_new_with, old_node::OldNode, work::WorkClient,
};

const NOT_ACCEPTING: &str = "NoNode(1 not accepting), not executed";

/// The result of a call that was refused, or not even sent because the node has announced that it would refuse.
#[track_caller]
fn assert_refused_by_new(result: &str, reason: &str) {
    let refused = format!("Refused({reason}), not executed");
    assert!(result == refused || result == NOT_ACCEPTING, "{result}");
}

#[track_caller]
fn assert_refused_by_old<T>(result: Result<T, RpcError>, expected: Refusal) {
    let error = result.err().expect("the call is refused");
    assert!(!error.may_have_executed(), "{error}");
    match error {
        RpcError::Refused { reason, .. } => assert_eq!(reason, expected),
        RpcError::NoNode { known, .. } => assert_eq!(known.not_accepting, 1),
        other => panic!("{other}"),
    }
}

/// Returns when the new node knows that the old one does not accept calls.
async fn old_does_not_accept(new: &Node) {
    let work = client(new).on_region("iad");
    eventually(async || {
        matches!(work.name().await, Err(RpcError::NoNode { known, .. }) if known.not_accepting == 1)
    })
    .await;
}

/// Returns when the old node knows that the new one does not accept calls.
async fn new_does_not_accept(old: &mut OldNode) {
    eventually(async || old.run("call hkg name").await == NOT_ACCEPTING).await;
}

/// Calls `name` of the old node. The call is sent even if the node has announced that it would refuse it.
async fn call_old(new: &Node) -> Result<String, RpcError> {
    let work = client(new);
    let mut replies = work.each(Nodes::in_region("iad"), |work| work.name());
    replies.next().await.expect("there is a node").1
}

#[tokio::test]
async fn an_old_node_that_is_held_refuses_calls_until_it_accepts() {
    let (mut old, new, _) = old_and_new_with(&["hold"], Node::builder()).await;
    old_does_not_accept(&new).await;
    let refused = call_old(&new).await.unwrap_err();
    assert!(matches!(refused, RpcError::Refused { reason: Refusal::Held, .. }), "{refused}");

    let work = client(&new).on_region("iad");
    let waits = tokio::spawn(work.wait(GENEROUS_TIMEOUT).name());
    assert_eq!(old.run("accept").await, "done");
    assert_eq!(waits.await.unwrap().unwrap(), "old");
}

#[tokio::test]
async fn a_new_node_that_is_held_refuses_calls_of_old_ones_until_it_accepts() {
    let (mut old, new, _) = old_and_new_with(&[], Node::builder().hold()).await;
    assert_refused_by_new(&old.run("call hkg name").await, "Held");
    new_does_not_accept(&mut old).await;
    old.run("begin hkg+wait name").await;
    // When this returns, the call waits.
    old.run("nodes hkg").await;
    new.accept();
    assert_eq!(old.run("finish").await, "new");
    new.hold();
    assert_refused_by_new(&old.run("call hkg name").await, "Held");
    new_does_not_accept(&mut old).await;
}

#[tokio::test]
async fn a_service_that_either_stops_serving_is_not_called() {
    let (mut old, new, _) = old_and_new_with(&[], Node::builder()).await;
    let work = client(&new).on_region("iad");
    old.run("serving false").await;
    assert_refused_by_old(work.name().await, Refusal::Held);
    old_does_not_accept(&new).await;
    old.run("serving true").await;
    assert_eq!(work.wait(GENEROUS_TIMEOUT).name().await.unwrap(), "old");

    new.set_serving::<WorkClient>(false);
    assert_refused_by_new(&old.run("call hkg name").await, "Held");
    new_does_not_accept(&mut old).await;
    new.set_serving::<WorkClient>(true);
    assert_eq!(old.run("call hkg+wait name").await, "new");
}

#[tokio::test]
async fn an_old_node_that_drains_refuses_new_calls_and_completes_the_others() {
    let (mut old, new, _) = old_and_new_with(&[], Node::builder()).await;
    let work = client(&new).on_region("iad");
    let stalled = tokio::spawn(work.stall());
    old.event("started stall").await;
    old.run("drain").await;
    assert_refused_by_old(work.name().await, Refusal::Draining);
    old_does_not_accept(&new).await;
    let refused = call_old(&new).await.unwrap_err();
    assert!(matches!(refused, RpcError::Refused { reason: Refusal::Draining, .. }), "{refused}");
    old.run("release").await;
    stalled.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_new_node_that_drains_refuses_new_calls_of_old_ones_and_completes_the_others() {
    let (mut old, new, mut handlers) = old_and_new_with(&[], Node::builder()).await;
    old.run("begin hkg stall").await;
    assert_eq!(handlers.event().await, "started stall");
    let drains = tokio::spawn({
        let new = new.clone();
        async move { new.drain().await }
    });
    assert_refused_by_new(&old.run("call hkg name").await, "Draining");
    new_does_not_accept(&mut old).await;
    handlers.release();
    assert_eq!(old.run("finish").await, "done");
    drains.await.unwrap();
}

#[tokio::test]
async fn either_refuses_calls_beyond_its_limit() {
    let (mut old, new, mut handlers) =
        old_and_new_with(&["max_in_flight=1"], Node::builder().max_in_flight(1)).await;
    let work = client(&new).on_region("iad");
    let stalled = tokio::spawn(work.stall());
    old.event("started stall").await;
    let refused = work.name().await.unwrap_err();
    assert!(matches!(refused, RpcError::Refused { reason: Refusal::Overloaded, .. }), "{refused}");
    old.run("release").await;
    stalled.await.unwrap().unwrap();
    assert_eq!(work.name().await.unwrap(), "old");

    old.run("begin hkg stall").await;
    assert_eq!(handlers.event().await, "started stall");
    assert_eq!(old.run("call hkg name").await, "Refused(Overloaded), not executed");
    handlers.release();
    assert_eq!(old.run("finish").await, "done");
    assert_eq!(old.run("call hkg name").await, "new");
}

#[tokio::test]
async fn a_limit_of_a_method_holds_for_calls_of_old_nodes() {
    let (mut old, _new, mut handlers) = old_and_new_with(&[], Node::builder()).await;
    old.run("begin hkg limited").await;
    assert_eq!(handlers.event().await, "started limited");
    assert_eq!(old.run("call hkg limited").await, "Refused(Overloaded), not executed");
    assert_eq!(old.run("call hkg name").await, "new");
    handlers.release();
    assert_eq!(old.run("finish").await, "done");
    assert_eq!(handlers.event().await, "ended limited");
    handlers.assert_no_event();
}

/// An old node does not know `Refusal::Memory`, and reports `Overloaded` instead.
#[tokio::test]
async fn an_old_node_takes_lack_of_memory_for_an_overload() {
    let limits = Node::builder().max_body(1 << 20).max_body_memory(2 << 20);
    let (mut old, _new, mut handlers) = old_and_new_with(&[], limits).await;
    let results = old.run("many hkg 10 1000000").await;
    let (executed, refused) = results.split_once("; ").expect("some are refused");
    let executed: usize = executed.strip_prefix("1000000: ").unwrap().parse().unwrap();
    let refused = refused.strip_prefix("Refused(Overloaded), not executed: ").unwrap();
    assert_eq!(executed + refused.parse::<usize>().unwrap(), 10, "{results}");
    for _ in 0..executed {
        assert_eq!(handlers.event().await, "started length");
    }
    handlers.assert_no_event();
    assert_eq!(old.run("call hkg length 1000000").await, "1000000");
}

#[tokio::test]
async fn neither_executes_a_call_for_the_primary_that_it_is_not() {
    let (mut old, new, mut handlers) = old_and_new_with(&["primary=hkg"], Node::builder()).await;
    let work = client(&new);
    for work in [work.on_region("iad"), work.on_primary()] {
        let error = work.write().await.unwrap_err();
        assert!(!error.may_have_executed());
        let RpcError::NotPrimary { theirs, ours, .. } = error else { panic!("{error}") };
        assert_eq!((theirs.as_str(), ours.as_str()), ("hkg", "iad"));
    }
    for command in ["call hkg write", "call primary write"] {
        assert_eq!(old.run(command).await, "NotPrimary(iad, hkg), not executed");
    }
    old.assert_nothing_started().await;
    handlers.assert_no_event();
}
