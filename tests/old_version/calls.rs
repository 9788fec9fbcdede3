//! Calls, membership, shutdown, and visitors.

use std::collections::BTreeMap;

use flyrpc::{
    ErrorKind, Event, Node, RpcError, Unsupported,
    operations::{RelayTarget, VisitOptions, Visitor},
};
use tokio::time::timeout;

use crate::{
    GENEROUS_TIMEOUT, LONG, TextClient, eventually, names, new_node, old_and_new,
    old_node::OldNode, start,
};

async fn left(node: &Node, events: &mut flyrpc::Events) -> String {
    let find = async {
        loop {
            match events.next().await.expect("the node runs") {
                Event::Left(other) => return other.name().to_owned(),
                Event::Down(other) => panic!("{} is down for {}", other.name(), node.id()),
                _ => {}
            }
        }
    };
    timeout(GENEROUS_TIMEOUT, find).await.expect("a node leaves")
}

#[tokio::test]
async fn either_version_is_the_seed_of_the_other_and_all_nodes_are_listed() {
    let first = new_node("first", "hkg", &[]).await;
    let mut old = OldNode::start(&[first.addr()]).await;
    old.event("up first").await;
    eventually(async || names(&first, "iad") == ["old"]).await;
    assert_eq!(old.run("nodes hkg").await, "first");

    // The seed of this node is the old node only, and that of the next one a new node only.
    let second = new_node("second", "nrt", &[old.addr()]).await;
    let third = new_node("third", "fra", &[first.addr()]).await;
    for node in [&first, &second, &third] {
        for (region, name) in
            [("iad", "old"), ("hkg", "first"), ("nrt", "second"), ("fra", "third")]
        {
            eventually(async || names(node, region) == [name]).await;
        }
    }
    for (region, name) in [("iad", "old"), ("hkg", "first"), ("nrt", "second"), ("fra", "third")] {
        eventually(async || old.run(&format!("nodes {region}")).await == name).await;
    }
}

#[tokio::test]
async fn a_new_node_calls_an_old_one() {
    let (_old, new) = old_and_new().await;
    let text = new.client::<TextClient>().on_region("iad");
    assert_eq!(text.upcase("fly".into()).await.unwrap(), "FLY");
    // The old node skips the metadata.
    let with_metadata = text.metadata("tenant", "a");
    assert_eq!(with_metadata.upcase("a".repeat(LONG)).await.unwrap(), "A".repeat(LONG));
    assert_eq!(text.parse("7".into()).await.unwrap(), Ok(7));
    assert_eq!(text.parse("x".into()).await.unwrap(), Err("x is not a number".into()));
    let panicked = text.panic("on purpose".into()).await.unwrap_err();
    assert!(
        matches!(&panicked, RpcError::Panicked { message, .. } if message == "on purpose"),
        "{panicked}"
    );
    assert_eq!(text.on_primary().calls().await.unwrap(), 5);
}

/// On two threads: a panic can block one for longer than the old node waits for heartbeats, if it prints a backtrace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_node_calls_a_new_one() {
    let (mut old, _new) = old_and_new().await;
    assert_eq!(old.run("upcase hkg fly").await, "\"FLY\"");
    assert_eq!(old.run(&format!("long hkg {LONG}")).await, "ok");
    assert_eq!(old.run("parse hkg 7").await, "Ok(7)");
    assert_eq!(old.run("parse hkg x").await, "Err(\"x is not a number\")");
    let panicked = old.run("panic hkg purpose").await;
    assert!(panicked.contains("Text.panic") && panicked.contains("purpose"), "{panicked}");
    assert_eq!(old.run("upcase hkg again").await, "\"AGAIN\"");
}

#[tokio::test]
async fn an_old_node_takes_a_denied_call_for_one_that_timed_out_and_was_not_executed() {
    let mut old = OldNode::start(&[]).await;
    let denying = Node::builder().authorize(|_| Err("no".into()));
    let new = start(denying, "new", "hkg", &[old.addr()]).await;
    old.event("up new").await;
    let error = old.run("upcase hkg fly").await;
    assert!(error.contains("timed out") && error.contains("did not execute"), "{error}");
    drop(new);
}

#[tokio::test]
async fn a_method_that_the_old_node_lacks_is_executed_by_a_new_node_or_not_at_all() {
    let (old, new) = old_and_new().await;
    let text = new.client::<TextClient>().on_region("iad");
    let error = text.reverse("fly".into()).await.unwrap_err();
    assert!(matches!(&error, RpcError::Unsupported { why: Unsupported::Method, .. }), "{error:?}");
    assert!(!error.may_have_executed());
    assert_eq!(text.calls().await.unwrap(), 0, "the old node executed nothing");

    let _newer = new_node("newer", "iad", &[old.addr()]).await;
    eventually(async || names(&new, "iad").len() == 2).await;
    eventually(async || text.reverse("fly".into()).await.is_ok()).await;
    for _ in 0..20 {
        assert_eq!(text.reverse("fly".into()).await.unwrap(), "ylf");
    }
}

#[tokio::test]
async fn a_graceful_shutdown_of_either_is_a_leave_for_the_other() {
    let (mut old, new) = old_and_new().await;
    let mut events = new.events();
    assert_eq!(old.run("shutdown").await, "down");
    assert_eq!(left(&new, &mut events).await, "old");
    assert!(names(&new, "iad").is_empty());

    let (mut old, new) = old_and_new().await;
    new.shutdown().await;
    old.event("left new").await;
    assert_eq!(old.run("nodes hkg").await, "");
}

/// An old node does not know visitors, and cannot report its state. It makes calls for them, because it ignores that
/// a request is marked.
#[tokio::test]
async fn a_visitor_reaches_an_old_node_through_a_new_one_only() {
    let (old, new) = old_and_new().await;
    let refused = Visitor::connect(old.addr(), VisitOptions::new()).await.unwrap_err();
    assert!(["CLOSED", "HANDSHAKE_TIMEOUT"].contains(&refused.kind()), "{}", refused.kind());
    let visitor = Visitor::connect(new.addr(), VisitOptions::new()).await.unwrap();
    let report = visitor.status(None).await.unwrap();
    let peer = report.peers.iter().find(|peer| peer.addr == old.addr()).unwrap();
    assert_eq!(peer.supported, Some(true));
    let id = peer.node.as_ref().unwrap().id();
    let unsupported = visitor.status(Some(id)).await.unwrap_err();
    assert_eq!(unsupported.kind, ErrorKind::Unsupported, "{unsupported}");
    let (target, arguments) =
        (RelayTarget::Region("iad".into()), BTreeMap::from([("text", "fly")]));
    let reply: String =
        visitor.call(target, "Text", "upcase", &arguments, GENEROUS_TIMEOUT).await.unwrap();
    assert_eq!(reply, "FLY");
}
