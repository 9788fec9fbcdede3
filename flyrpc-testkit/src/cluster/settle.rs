//! Waits until every node of a cluster has a link to every other.

use std::{collections::BTreeSet, fmt, future, time::Duration};

use flyrpc::{Node, NodeId, PeerState};
use futures_util::StreamExt;
use tokio::time::timeout;

/// Upper bound on the wait, in the cluster's time: twice the longest interval between two anti-entropy
/// syncs.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// Interval between checks if no event reports a change.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Upper bound on the number of missing links that a message lists.
const MAX_LISTED: usize = 12;

/// A missing link from `node` to `peer`.
pub(super) struct MissingLink {
    node: Node,
    peer: NodeId,
    /// The state of the peer in the peer list of `node`.
    state: String,
}

/// Waits until each node is ready and has a link to each other node. Calls `nodes` repeatedly, since
/// nodes may start or stop in the meantime.
///
/// # Errors
///
/// Returns the links that are missing after the timeout.
pub(super) async fn settle(nodes: impl Fn() -> Vec<Node>) -> Result<(), Vec<MissingLink>> {
    let all_settled = async {
        // A link can be lost while another node waits for its links, so repeat until none is missing.
        while !missing_links(&nodes()).is_empty() {
            for node in nodes() {
                wait_for_links(&node, &nodes).await;
            }
        }
        for node in nodes() {
            node.ready().await;
        }
    };
    timeout(TIMEOUT, all_settled).await.map_err(|_| missing_links(&nodes()))
}

async fn wait_for_links(node: &Node, nodes: &impl Fn() -> Vec<Node>) {
    let mut events = node.events();
    loop {
        let missing = unlinked(node, &nodes()).len();
        if missing == 0 {
            return;
        }
        // Each new link causes an event, so do not check again before that many events.
        let linked = async {
            if events.by_ref().take(missing).count().await < missing {
                // The node has stopped, so it may have left `nodes`.
                future::pending().await
            }
        };
        // Check again, whether or not the wait timed out.
        let _ = timeout(RECHECK_INTERVAL, linked).await;
        if nodes().iter().all(|running| running.id() != node.id()) {
            return;
        }
    }
}

fn missing_links(nodes: &[Node]) -> Vec<MissingLink> {
    nodes.iter().flat_map(|node| unlinked(node, nodes)).collect()
}

fn unlinked(node: &Node, nodes: &[Node]) -> Vec<MissingLink> {
    let peers = node.peers();
    let linked: BTreeSet<&NodeId> = peers
        .iter()
        .filter(|peer| peer.state == PeerState::Linked)
        .filter_map(|peer| Some(peer.node.as_ref()?.id()))
        .collect();
    let others = nodes.iter().filter(|other| other.id() != node.id());
    others
        .filter(|other| !linked.contains(other.id()))
        .map(|other| {
            let known = peers.iter().find(|peer| peer.addr == other.addr());
            MissingLink {
                node: node.clone(),
                peer: other.id().clone(),
                state: known.map_or_else(
                    || "not in its list of peers".to_owned(),
                    |peer| match &peer.node {
                        Some(known) if known.id() != other.id() => {
                            "still listed as an earlier boot".to_owned()
                        }
                        _ => format!("{}, {}", peer.state, peer.support),
                    },
                ),
            }
        })
        .collect()
}

/// Displays missing links for a message, at most [`MAX_LISTED`].
pub(super) struct MissingLinks<'a>(pub(super) &'a [MissingLink]);

impl fmt::Display for MissingLinks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MissingLinks(missing) = self;
        for link in missing.iter().take(MAX_LISTED) {
            let node = link.node.id().name();
            writeln!(f, "  {node} has no link to {}: {}", link.peer.name(), link.state)?;
        }
        match missing.len().checked_sub(MAX_LISTED) {
            Some(more) if more > 0 => writeln!(f, "  and {more} more"),
            _ => Ok(()),
        }
    }
}
