//! What a node learns of others while it runs.

use std::{fmt, net::SocketAddr};

use super::{node::NodeInfo, peer::Support, region::Region};

/// Something that a node learned of others.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A node is up: it was learned of, or can be reached again.
    Up(NodeInfo),
    /// A node is down: its link broke, or the members of the cluster agree that it is gone.
    Down(NodeInfo),
    /// A node has left the cluster in good order.
    Left(NodeInfo),
    /// What answers at an address, or what it supports, is other than before.
    SupportChanged {
        /// The address.
        addr: SocketAddr,
        /// The node there, if it is known.
        node: Option<NodeInfo>,
        /// What it supports now.
        support: Support,
    },
    /// A node takes another region for the primary than this one does. One of the two is
    /// configured wrongly, or a change of the primary is under way.
    PrimaryDisagreement {
        /// The other node.
        node: NodeInfo,
        /// The primary region in its view.
        theirs: Region,
        /// The primary region in this node's view.
        ours: Region,
    },
    /// The listener was too slow: so many events are missing here.
    Missed(u64),
}

/// One line without addresses or boots, for logs and traces: `up hkg-0`.
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
            Event::PrimaryDisagreement { node, theirs, ours } => {
                write!(f, "primary disagreement with {}: {theirs} there, {ours} here", node.name())
            }
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
    fn an_event_is_one_line_without_address_or_boot() {
        let addr = SocketAddr::from(([10, 0, 0, 1], 3590));
        let node = NodeInfo::new(NodeId::new("hkg-0", 7), "hkg".into(), addr);
        check(&Event::Up(node.clone()), "up hkg-0");
        check(&Event::Down(node.clone()), "down hkg-0");
        check(&Event::Left(node.clone()), "left hkg-0");
        let support = |node, support| Event::SupportChanged { addr, node, support };
        check(&support(Some(node.clone()), Support::Supported), "support of hkg-0: supported");
        let mute = Support::Unsupported(NoSupport::Mute);
        check(
            &support(None, mute),
            "support of an unknown node: unsupported: something takes connections, but says nothing",
        );
        let (theirs, ours) = ("hkg".into(), "iad".into());
        check(
            &Event::PrimaryDisagreement { node, theirs, ours },
            "primary disagreement with hkg-0: hkg there, iad here",
        );
        check(&Event::Missed(3), "missed 3");
    }
}
