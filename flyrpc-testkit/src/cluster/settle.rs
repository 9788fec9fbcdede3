//! Waits until every node of a cluster knows every other.

use std::{collections::BTreeSet, fmt, future, time::Duration};

use flyrpc::{Node, NodeId, PeerState};
use futures_util::StreamExt;
use tokio::time::timeout;

/// How long that may take, in the cluster's time: twice the longest pause between two exchanges of
/// memberships.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// How often to look again, should no event tell of the change.
const LOOK: Duration = Duration::from_secs(1);

/// How many gaps a message lists.
const SHOWN: usize = 12;

/// A node that does not know another.
pub(super) struct Gap {
    node: Node,
    other: NodeId,
    /// What it knows of it.
    known: String,
}

/// Waits until each node is ready and has a link to each other one. Which nodes there are is asked
/// again and again, as they may come and go meanwhile.
///
/// # Errors
///
/// Who does not know whom, if that is not so within the limit.
pub(super) async fn settle(nodes: impl Fn() -> Vec<Node>) -> Result<(), Vec<Gap>> {
    let all_settled = async {
        // A link that one node waits for may cost another one of its own, so look until all is well
        // at once.
        while !gaps(&nodes()).is_empty() {
            for node in nodes() {
                wait_for_links(&node, &nodes).await;
            }
        }
        for node in nodes() {
            node.ready().await;
        }
    };
    timeout(LIMIT, all_settled).await.map_err(|_| gaps(&nodes()))
}

async fn wait_for_links(node: &Node, nodes: &impl Fn() -> Vec<Node>) {
    let mut events = node.events();
    loop {
        let missing = unlinked(node, &nodes()).len();
        if missing == 0 {
            return;
        }
        // Each of the missing makes an event, so fewer than that many cannot be all.
        let linked = async {
            if events.by_ref().take(missing).count().await < missing {
                // The node has stopped; it may not be asked for any more.
                future::pending().await
            }
        };
        // Whether they came or not, it is time to look.
        let _ = timeout(LOOK, linked).await;
        if nodes().iter().all(|running| running.id() != node.id()) {
            return;
        }
    }
}

fn gaps(nodes: &[Node]) -> Vec<Gap> {
    nodes.iter().flat_map(|node| unlinked(node, nodes)).collect()
}

fn unlinked(node: &Node, nodes: &[Node]) -> Vec<Gap> {
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
            Gap {
                node: node.clone(),
                other: other.id().clone(),
                known: known.map_or_else(
                    || "not heard of".to_owned(),
                    |peer| match &peer.node {
                        Some(known) if known.id() != other.id() => "an earlier boot".to_owned(),
                        _ => format!("{}, {}", peer.state, peer.support),
                    },
                ),
            }
        })
        .collect()
}

/// Lists gaps for a message, the first of them if there are many.
pub(super) struct Gaps<'a>(pub(super) &'a [Gap]);

impl fmt::Display for Gaps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gaps(gaps) = self;
        for gap in gaps.iter().take(SHOWN) {
            let node = gap.node.id().name();
            writeln!(f, "  {node} does not know {}: {}", gap.other.name(), gap.known)?;
        }
        match gaps.len().checked_sub(SHOWN) {
            Some(more) if more > 0 => writeln!(f, "  and {more} more"),
            _ => Ok(()),
        }
    }
}
