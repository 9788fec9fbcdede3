//! [`Event`].

use std::{fmt, net::SocketAddr};

use serde::Serialize;

use super::{node::NodeInfo, peer::Support, region::Region};

/// A change in a node's view of the other nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A node is up: it was discovered, or can be reached again.
    Up(NodeInfo),
    /// A node is down: its link was lost, or the membership declared it down.
    Down(NodeInfo),
    /// A node has left the cluster gracefully. Also reported for a node without a link that failed, if this node
    /// was cut off while others found that it had failed.
    Left(NodeInfo),
    /// A different program responds at an address, or the services that the node there supports changed.
    SupportChanged {
        /// The address.
        addr: SocketAddr,
        /// The node at the address, if it is known.
        node: Option<NodeInfo>,
        /// Whether it can be called now.
        support: Support,
    },
    /// A node started or stopped accepting calls: it [accepts](crate::Node::accept) calls after it was
    /// held, is [held](crate::Node::hold), or [drains](crate::Node::drain).
    AcceptingChanged {
        /// The node.
        node: NodeInfo,
        /// Whether it accepts calls now.
        accepting: bool,
    },
    /// A node has a different primary region than this node. One of the two is misconfigured, or a change
    /// of the primary region is in progress.
    PrimaryDisagreement {
        /// The other node.
        node: NodeInfo,
        /// Its primary region.
        theirs: Region,
        /// This node's primary region.
        ours: Region,
    },
    /// Two live nodes advertise the same address, for example because one `FLYRPC_ADVERTISE` was copied
    /// to several machines, or because containers advertise the address of their bridge. Both can still
    /// be called where they are linked. Nodes that are not linked yet reach at most one of them. Emitted
    /// once for each pair.
    AddressConflict {
        /// The address that both nodes advertise.
        addr: SocketAddr,
        /// The node that was known at the address before. It may be this node.
        holder: NodeInfo,
        /// The other node.
        claimant: NodeInfo,
    },
    /// Most of this node's calls to a node failed, so they are sent to other nodes of the region while there are any.
    /// The node is probed with one call after at most 30 s. It may be ejected again without having been restored.
    Ejected(NodeInfo),
    /// A node that was ejected has answered a call, and is called like others again.
    Restored(NodeInfo),
    /// The budget for retries in this region is exhausted: calls that fail there report their first error, or go on
    /// to their next target, and calls that are slow there are not hedged. Emitted again only after no retry was
    /// refused for 10 s.
    RetriesExhausted(Region),
    /// The receiver of the events was too slow. This many events were dropped at this point.
    Missed(u64),
}

/// Formats an event as one line without addresses and boots, for logs and traces: `up hkg-0`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Up(node) => write!(f, "up {}", node.name()),
            Event::Down(node) => write!(f, "down {}", node.name()),
            Event::Left(node) => write!(f, "left {}", node.name()),
            Event::SupportChanged { node, support, .. } => {
                let name = node.as_ref().map_or("an unknown node", NodeInfo::name);
                write!(f, "support of {name}: {support}")
            }
            Event::AcceptingChanged { node, accepting: true } => {
                write!(f, "{} accepts calls", node.name())
            }
            Event::AcceptingChanged { node, accepting: false } => {
                write!(f, "{} accepts no calls", node.name())
            }
            Event::PrimaryDisagreement { node, theirs, ours } => {
                write!(f, "primary disagreement with {}: {theirs} there, {ours} here", node.name())
            }
            Event::AddressConflict { holder, claimant, .. } => {
                write!(f, "address conflict between {} and {}", holder.name(), claimant.name())
            }
            Event::Ejected(node) => write!(f, "ejected {}", node.name()),
            Event::RetriesExhausted(region) => write!(f, "no retries left for {region}"),
            Event::Restored(node) => write!(f, "restored {}", node.name()),
            Event::Missed(count) => write!(f, "missed {count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NoSupport, NodeId};

    fn check(event: &Event, expected: &str) {
        assert_eq!(event.to_string(), expected);
    }

    #[test]
    fn an_event_can_be_serialized() {
        let addr = SocketAddr::from(([10, 0, 0, 1], 3590));
        let node = NodeInfo::new(NodeId::new("hkg-0", 7), "hkg".into(), addr);
        let json = serde_json::to_value(Event::Up(node.clone())).unwrap();
        assert_eq!(json, serde_json::json!({ "up": serde_json::to_value(&node).unwrap() }));
    }

    #[test]
    fn an_event_is_one_line_without_address_or_boot() {
        let addr = SocketAddr::from(([10, 0, 0, 1], 3590));
        let node = NodeInfo::new(NodeId::new("hkg-0", 7), "hkg".into(), addr);
        check(&Event::Up(node.clone()), "up hkg-0");
        check(&Event::Down(node.clone()), "down hkg-0");
        check(&Event::Left(node.clone()), "left hkg-0");
        check(&Event::Ejected(node.clone()), "ejected hkg-0");
        check(&Event::Restored(node.clone()), "restored hkg-0");
        check(&Event::RetriesExhausted("hkg".into()), "no retries left for hkg");
        let support = |node, support| Event::SupportChanged { addr, node, support };
        check(&support(Some(node.clone()), Support::Supported), "support of hkg-0: supported");
        let mute = Support::Unsupported(NoSupport::Mute);
        check(
            &support(None, mute),
            "support of an unknown node: unsupported: something accepts connections but sends nothing",
        );
        let accepting = |accepting| Event::AcceptingChanged { node: node.clone(), accepting };
        check(&accepting(true), "hkg-0 accepts calls");
        check(&accepting(false), "hkg-0 accepts no calls");
        let claimant = NodeInfo::new(NodeId::new("hkg-1", 8), "hkg".into(), addr);
        check(
            &Event::AddressConflict { addr, holder: node.clone(), claimant },
            "address conflict between hkg-0 and hkg-1",
        );
        let (theirs, ours) = ("hkg".into(), "iad".into());
        check(
            &Event::PrimaryDisagreement { node, theirs, ours },
            "primary disagreement with hkg-0: hkg there, iad here",
        );
        check(&Event::Missed(3), "missed 3");
    }
}
