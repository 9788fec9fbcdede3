//! Simulated clusters that serve [`Probe`](super::Probe), and queries on their nodes.

use flyrpc::{Node, NodeBuilder, Peer};
use flyrpc_testkit::{Release, SimCluster, SimClusterBuilder, SimEnv};

use super::{Counts, prober};

/// The port of every simulated node.
pub(crate) const PORT: u16 = 3590;

/// A cluster whose nodes serve [`Probe`](super::Probe).
pub(crate) fn probe_cluster(counts: &Counts) -> SimClusterBuilder {
    SimCluster::builder().release(probe_release(counts))
}

/// Starts a cluster of iad-0 and hkg-0, which serve [`Probe`](super::Probe). The primary region is
/// iad. The round trip between the nodes takes 202 ms.
pub(crate) async fn iad_and_hkg(counts: &Counts) -> SimCluster {
    probe_cluster(counts).region("iad", 1).region("hkg", 1).start().await
}

/// A release that serves [`Probe`](super::Probe).
pub(crate) fn probe_release(counts: &Counts) -> Release {
    let counts = counts.clone();
    Release::new().serve(move |node| prober(node.name(), &counts))
}

/// Returns a builder for a node on a host that is not a node of its cluster, with iad as the
/// primary region. It is for tests that [`SimCluster`] cannot express, because a `SimCluster` holds
/// a handle of each of its nodes and waits until all of them are linked.
pub(crate) fn node_on(env: &SimEnv) -> NodeBuilder {
    Node::builder()
        .env(env.clone())
        .name(env.name())
        .region(env.region())
        .primary_region("iad")
        .listen(env.addr(PORT))
}

/// The names of the live nodes of a region in the view of `node`.
pub(crate) fn node_names(node: &Node, region: &str) -> Vec<String> {
    node.nodes_in(region).iter().map(|node| node.name().to_owned()).collect()
}

/// The peer of `node` named `name`.
pub(crate) fn peer_named(node: &Node, name: &str) -> Peer {
    let peers = node.peers();
    let named = |peer: &&Peer| peer.node.as_ref().is_some_and(|node| node.name() == name);
    peers.iter().find(named).unwrap_or_else(|| panic!("no {name} in {peers:?}")).clone()
}

/// Waits until `condition` holds. Checks it first and after each event of `node`.
pub(crate) async fn wait_until(node: &Node, mut condition: impl FnMut() -> bool) {
    let mut events = node.events();
    while !condition() {
        events.next().await.expect("the node is running");
    }
}
