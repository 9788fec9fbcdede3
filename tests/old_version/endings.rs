//! Calls that end before their handlers: at their deadlines, or because their callers drop them.

use std::time::Duration;

use flyrpc::{Node, RpcError};

use crate::{client, old_and_new, old_and_new_with};

const SHORT: Duration = Duration::from_millis(500);

#[track_caller]
fn assert_timeout(result: Result<(), RpcError>) {
    let error = result.unwrap_err();
    assert!(matches!(&error, RpcError::Timeout { after: SHORT, .. }), "{error}");
    assert!(error.may_have_executed());
}

#[tokio::test]
async fn an_old_node_cancels_a_handler_whose_deadline_has_passed() {
    let (mut old, new) = old_and_new().await;
    let work = client(&new).on_region("iad");
    assert_timeout(work.timeout(SHORT).stall().await);
    old.event("started stall").await;
    old.event("canceled stall").await;
}

#[tokio::test]
async fn a_new_node_cancels_a_handler_whose_deadline_has_passed() {
    let (mut old, _new, mut handlers) = old_and_new_with(&[], Node::builder()).await;
    assert_eq!(old.run("call hkg+hasty stall").await, "Timeout, may have executed");
    assert_eq!(handlers.event().await, "started stall");
    assert_eq!(handlers.event().await, "canceled stall");
}

#[tokio::test]
async fn an_old_node_cancels_a_handler_whose_call_is_dropped() {
    let (mut old, new) = old_and_new().await;
    let work = client(&new).on_region("iad");
    let call = tokio::spawn(work.stall());
    old.event("started stall").await;
    call.abort();
    old.event("canceled stall").await;
}

#[tokio::test]
async fn a_new_node_cancels_a_handler_whose_call_is_dropped() {
    let (mut old, _new, mut handlers) = old_and_new_with(&[], Node::builder()).await;
    old.run("begin hkg stall").await;
    assert_eq!(handlers.event().await, "started stall");
    old.run("abort").await;
    assert_eq!(handlers.event().await, "canceled stall");
}

/// A handler that is canceled reports that before it ends, so each handler that runs to its end must have survived.
#[tokio::test]
async fn an_old_node_runs_a_detached_handler_to_its_end() {
    let (mut old, new) = old_and_new().await;
    let work = client(&new).on_region("iad");
    let call = tokio::spawn(work.job());
    old.event("started job").await;
    call.abort();
    assert_timeout(work.timeout(SHORT).job().await);
    old.event("started job").await;
    // The old node has processed the cancellation of the first call before this call.
    assert_eq!(work.name().await.unwrap(), "old");
    old.run("release").await;
    for _ in 0..2 {
        assert_eq!(old.handler_event().await, "ended job");
    }
}

#[tokio::test]
async fn a_new_node_runs_a_detached_handler_of_an_old_caller_to_its_end() {
    let (mut old, _new, mut handlers) = old_and_new_with(&[], Node::builder()).await;
    old.run("begin hkg job").await;
    assert_eq!(handlers.event().await, "started job");
    old.run("abort").await;
    assert_eq!(old.run("call hkg+hasty job").await, "Timeout, may have executed");
    assert_eq!(handlers.event().await, "started job");
    assert_eq!(old.run("call hkg name").await, "new");
    handlers.release();
    for _ in 0..2 {
        assert_eq!(handlers.event().await, "ended job");
    }
    handlers.assert_no_event();
}
