//! A peer as a node reports it to its user.

use std::{fmt, net::SocketAddr, time::Duration};

use super::{node::NodeInfo, region::Region, service_spec::ServiceSpec};

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
