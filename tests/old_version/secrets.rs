//! Old nodes, which cannot seal, beside nodes with a secret.

use flyrpc::{Keyring, LinkSecurity, NoSupport, Node, NodeBuilder, NodeInfo, RpcError, Support};

use crate::{
    LONG, client, eventually, names, old_and_new_with, old_node::OldNode, start,
    start_with_handlers,
};

fn keyring() -> Keyring {
    Keyring::parse(&"11".repeat(32)).unwrap()
}

fn sealed() -> NodeBuilder {
    Node::builder().secret(keyring())
}

fn permissive() -> NodeBuilder {
    sealed().insecure()
}

/// The security of the link to each peer of `node`, by the peer's name.
fn security(node: &Node) -> Vec<(String, Option<LinkSecurity>)> {
    let peers = node.peers();
    let name = |node: &Option<NodeInfo>| node.as_ref().map(|node| node.name().to_owned());
    let mut security: Vec<_> =
        peers.iter().map(|peer| (name(&peer.node).unwrap_or_default(), peer.security)).collect();
    security.sort_by(|(a, _), (b, _)| a.cmp(b));
    security
}

fn open(name: &str) -> (String, Option<LinkSecurity>) {
    (name.to_owned(), Some(LinkSecurity::Open))
}

/// Returns when the links of `node` to its peers are protected like this. Peers may be listed before they are linked.
async fn linked(node: &Node, expected: &[(String, Option<LinkSecurity>)]) {
    eventually(async || security(node) == expected).await;
}

/// Checks that calls between the old node, in iad, and `new`, in hkg, work in both directions over an open link.
async fn assert_linked_openly(old: &mut OldNode, new: &Node) {
    linked(new, &[open("old")]).await;
    assert_eq!(client(new).on_region("iad").name().await.unwrap(), "old");
    assert_eq!(old.run("call hkg name").await, "new");
    assert_eq!(client(new).on_region("iad").length("a".repeat(LONG)).await.unwrap(), LONG as u64);
    assert_eq!(old.run(&format!("call hkg length {LONG}")).await, LONG.to_string());
}

/// The old node closes the connection when it receives a seal, and accepts the second one, without a seal.
#[tokio::test]
async fn a_permissive_node_that_dials_an_old_one_is_linked() {
    let (mut old, new, _) = old_and_new_with(&[], permissive()).await;
    assert_linked_openly(&mut old, &new).await;
}

#[tokio::test]
async fn an_old_node_that_dials_a_permissive_one_is_linked() {
    let new = start(permissive(), "new", "hkg", &[]).await;
    let mut old = OldNode::start(&[new.addr()]).await;
    old.event("up new").await;
    assert_linked_openly(&mut old, &new).await;
}

/// As in the second deploy of an upgrade from 0.1 to a sealed cluster.
#[tokio::test]
async fn permissive_nodes_seal_their_link_beside_open_ones_to_an_old_node() {
    let (mut old, new, _) = old_and_new_with(&[], permissive()).await;
    let other = start(permissive(), "other", "nrt", &[new.addr()]).await;
    // `old` and `other` learn each other's address from `new`.
    old.event("up other").await;
    let key = keyring().ids().next().unwrap();
    let sealed = |name: &str| (name.to_owned(), Some(LinkSecurity::Sealed(key)));
    linked(&new, &[open("old"), sealed("other")]).await;
    linked(&other, &[sealed("new"), open("old")]).await;
    assert_eq!(client(&other).on_region("iad").name().await.unwrap(), "old");
    assert_eq!(client(&other).on_region("hkg").name().await.unwrap(), "new");
    assert_eq!(old.run("call nrt name").await, "other");
    assert_eq!(old.run("call hkg name").await, "new");
}

/// Checks that neither the old node nor `new`, which is sealed, lists or calls the other.
async fn assert_strangers(old: &mut OldNode, new: &Node) {
    assert_eq!(names(new, "iad"), [""; 0]);
    assert_eq!(old.run("nodes hkg").await, "");
    let error = client(new).on_region("iad").name().await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }) && !error.may_have_executed(), "{error}");
    let result = old.run("call hkg name").await;
    assert!(result.starts_with("NoNode") && result.ends_with("not executed"), "{result}");
    old.assert_nothing_started().await;
}

#[tokio::test]
async fn a_sealed_node_names_an_old_one_that_it_cannot_link_to() {
    let mut old = OldNode::start(&[]).await;
    let (new, mut handlers) = start_with_handlers(sealed(), "new", "hkg", &[old.addr()]).await;
    let peers = new.peers();
    let closed = "it closed the connection before the handshake was complete".to_owned();
    assert_eq!(peers.len(), 1, "{peers:?}");
    assert_eq!((peers[0].addr, peers[0].security), (old.addr(), None));
    assert_eq!(peers[0].support, Support::Unsupported(NoSupport::NotFlyrpc(closed)));
    assert_strangers(&mut old, &new).await;
    handlers.assert_no_event();
}

#[tokio::test]
async fn an_old_node_names_a_sealed_one_that_refuses_it() {
    let (new, mut handlers) = start_with_handlers(sealed(), "new", "hkg", &[]).await;
    let mut old = OldNode::start(&[new.addr()]).await;
    let refused =
        "unreached, unsupported: not flyrpc: it sent a malformed frame of an unknown kind";
    eventually(async || old.run("peers").await == refused).await;
    eventually(async || new.stats().handshakes.contains_key("NO_SECRET")).await;
    assert_eq!(new.stats().handshakes.get("OK"), None);
    assert_strangers(&mut old, &new).await;
    handlers.assert_no_event();
}
