//! What a node knows of others, as it tells its user: peers and events.

use std::{fmt, net::SocketAddr, time::Duration};

use super::{NodeInfo, Region, ServiceSpec};

/// One known address, and what answers there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Peer {
    /// The address: where the node says that it is reached, or where a seed points.
    pub addr: SocketAddr,
    /// The node there, if one answered or is known from others.
    pub node: Option<NodeInfo>,
    /// Whether it can be reached.
    pub state: PeerState,
    /// Whether it can be called at all, and why not.
    pub support: Support,
    /// Whether it takes calls at present: not while it is held or draining.
    pub accepting: bool,
    /// The primary region in its view: other than this node's is a mistake in one of the two.
    pub primary_region: Option<Region>,
    /// What it serves.
    pub services: Vec<ServiceSpec>,
    /// Names of services that it serves but has given up for now.
    pub withdrawn: Vec<String>,
    /// The shortest of the last round trips.
    pub round_trip: Option<Duration>,
}

/// Whether a peer can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerState {
    /// There is an open link.
    Linked,
    /// There is a link, but nothing was heard for 2 heartbeats.
    Quiet,
    /// Others know it, and no link was opened yet.
    Unlinked,
    /// Its link broke, or it cannot be reached.
    Lost,
    /// No node ever answered there; [`Peer::support`] says what does.
    Unreached,
    /// It has left, or is about to.
    Left,
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            PeerState::Linked => "linked",
            PeerState::Quiet => "quiet",
            PeerState::Unlinked => "unlinked",
            PeerState::Lost => "lost",
            PeerState::Unreached => "unreached",
            PeerState::Left => "left",
        })
    }
}

/// Whether what answers at an address can be called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Support {
    /// It was not asked yet.
    Unknown,
    /// It is a node of this cluster, whose protocol this node speaks.
    Supported,
    /// It is not; it is asked again from time to time.
    Unsupported(NoSupport),
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Support::Unknown => f.write_str("not asked yet"),
            Support::Supported => f.write_str("supported"),
            Support::Unsupported(why) => write!(f, "unsupported: {why}"),
        }
    }
}

/// Why what answers at an address cannot be called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoSupport {
    /// Nothing answers; the text is the system's error.
    Unreachable(String),
    /// Something takes connections and says nothing.
    Mute,
    /// Something that is not flyrpc answers; the text is how.
    NotFlyrpc(String),
    /// A node that speaks other versions of the protocol.
    Protocol {
        /// The oldest that it speaks.
        first: u64,
        /// The newest that it speaks.
        last: u64,
    },
    /// A node of another cluster, of this name.
    OtherCluster(String),
    /// A node that says that it is reached at this node's own address: one of the two advertises a
    /// wrong one.
    SameAddress,
    /// The address is this node's own.
    Oneself,
}

impl fmt::Display for NoSupport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoSupport::Unreachable(error) => write!(f, "nothing answers ({error})"),
            NoSupport::Mute => f.write_str("something takes connections, but says nothing"),
            NoSupport::NotFlyrpc(said) => write!(f, "not flyrpc: {said}"),
            NoSupport::Protocol { first, last } => {
                write!(f, "speaks versions {first} to {last} of the protocol")
            }
            NoSupport::OtherCluster(name) => write!(f, "belongs to the cluster {name:?}"),
            NoSupport::SameAddress => f.write_str(
                "a node that says that it is reached at this node's own address; \
                 check what both advertise",
            ),
            NoSupport::Oneself => f.write_str("this node itself"),
        }
    }
}

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
    use crate::types::NodeId;

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
