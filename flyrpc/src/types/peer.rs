//! A peer as a node reports it to its user.

use std::{fmt, net::SocketAddr, time::Duration};

use super::{node::NodeInfo, region::Region, service_spec::ServiceSpec};

/// A known address, and what answers there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Peer {
    /// The address that the node advertises, or that a seed names.
    pub addr: SocketAddr,
    /// The node there, if one answered or other nodes reported one.
    pub node: Option<NodeInfo>,
    /// Whether it can be reached.
    pub state: PeerState,
    /// Whether it can be called, and why not.
    pub support: Support,
    /// Whether it accepts calls: not while it is held or draining.
    pub accepting: bool,
    /// The primary region in its configuration. If it differs from this node's, one of the two is
    /// misconfigured.
    pub primary_region: Option<Region>,
    /// The services that it serves.
    pub services: Vec<ServiceSpec>,
    /// The names of services that it has stopped serving for now.
    pub withdrawn: Vec<String>,
    /// The shortest of the latest round trips.
    pub round_trip: Option<Duration>,
}

/// Whether a peer can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerState {
    /// A link is open.
    Linked,
    /// A link is open, but nothing was received on it for 2 heartbeats.
    Quiet,
    /// Other nodes reported it, and no link was opened yet.
    Unlinked,
    /// Its link broke, or it cannot be dialed.
    Lost,
    /// No node ever answered there; [`Peer::support`] holds what does.
    Unreached,
    /// It has left the cluster, or is leaving.
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
    /// No attempt to dial it has ended yet.
    Unknown,
    /// It is a node of this cluster that speaks a protocol version of this node.
    Supported,
    /// It is not. It is dialed again periodically.
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
    /// Nothing answers. Holds the system's error.
    Unreachable(String),
    /// Something accepts connections, but sends nothing.
    Mute,
    /// Something that is not flyrpc answers. Holds a description of the answer.
    NotFlyrpc(String),
    /// A node that speaks other protocol versions.
    Protocol {
        /// The oldest version that it speaks.
        first: u64,
        /// The newest version that it speaks.
        last: u64,
    },
    /// A node of another cluster. Holds its name.
    OtherCluster(String),
    /// A node that advertises this node's address: one of the two is misconfigured.
    SameAddress,
    /// The address reaches this node itself.
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
