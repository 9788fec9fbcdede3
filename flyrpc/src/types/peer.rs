//! [`Peer`]: the description of a peer that a node reports to the application.

use std::{fmt, net::SocketAddr, time::Duration};

use serde::{Serialize, Serializer};

use super::{key_id::KeyId, node::NodeInfo, region::Region, service_spec::ServiceSpec};

/// A known address, and the node or other program that responds there.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Peer {
    /// The address that the node advertises, or that a seed names.
    pub addr: SocketAddr,
    /// The node at the address, if one responded or other nodes reported one.
    pub node: Option<NodeInfo>,
    /// The version of its application, as [`NodeBuilder::version`](crate::NodeBuilder::version) sets it. Empty if it
    /// has none, or if no link is open.
    pub version: String,
    /// Whether it can be reached.
    pub state: PeerState,
    /// Whether it can be called, and the reason if it cannot.
    pub support: Support,
    /// Whether it accepts calls. `false` while it is held or draining.
    pub accepting: bool,
    /// The primary region in its configuration. If it differs from this node's, one of the two is
    /// misconfigured.
    pub primary_region: Option<Region>,
    /// The services that it serves.
    pub services: Vec<ServiceSpec>,
    /// The names of the services that it has temporarily stopped serving.
    pub withdrawn: Vec<String>,
    /// How its link is protected. `None` if no link is open.
    pub security: Option<LinkSecurity>,
    /// The keys that it holds, in the order of its keyring. During a rotation, the old key can be removed once
    /// every node holds the new one. Empty if the node has no secret, or no link is open.
    pub keys: Vec<KeyId>,
    /// The shortest round trip within about the last 8 heartbeats.
    #[serde(serialize_with = "as_seconds")]
    pub round_trip: Option<Duration>,
    /// The number of this node's calls that are in flight there. 0 if no link is open.
    pub in_flight: u32,
    /// The number of calls of other nodes that are in flight there, as it last reported. It reports this about once
    /// per heartbeat. Its own calls, which run in process, do not count. 0 before its first report, if it is a node of version 0.1, or if no link is open.
    pub reported_in_flight: u32,
    /// Whether it is ejected: most of this node's calls to it failed, so they are sent to other nodes while there
    /// are any.
    pub ejected: bool,
}

/// How the link to a peer is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LinkSecurity {
    /// Everything on the path can read and change the calls.
    Open,
    /// The calls are encrypted and authenticated, and the peer has proved that it holds this key.
    Sealed(KeyId),
}

impl fmt::Display for LinkSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkSecurity::Open => f.write_str("open"),
            LinkSecurity::Sealed(key) => write!(f, "sealed with {key}"),
        }
    }
}

/// Whether a peer can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PeerState {
    /// A link is open.
    Linked,
    /// A link is open, but nothing was received on it for 2 heartbeats.
    Quiet,
    /// Other nodes reported it, but no link to it was opened yet.
    Unlinked,
    /// Its link was lost, or it cannot be dialed.
    Lost,
    /// No node has ever responded there. [`Peer::support`] describes what responds instead.
    Unreached,
    /// It has left the cluster, or is leaving.
    Left,
}

fn as_seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
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

/// Whether the program that responds at an address can be called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Support {
    /// Unknown: no attempt to dial it has completed yet, or its link was lost.
    Unknown,
    /// It is a node of this cluster, and shares a protocol version with this node.
    Supported,
    /// It cannot be called, for this reason. It is dialed again periodically.
    Unsupported(NoSupport),
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Support::Unknown => f.write_str("unknown"),
            Support::Supported => f.write_str("supported"),
            Support::Unsupported(why) => write!(f, "unsupported: {why}"),
        }
    }
}

/// The reason why an address cannot be called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoSupport {
    /// Nothing responds. Contains the operating system's error.
    Unreachable(String),
    /// Something accepts connections, but sends nothing.
    Mute,
    /// Something that is not flyrpc responds. Contains a description of the response.
    NotFlyrpc(String),
    /// A node that speaks other protocol versions.
    Protocol {
        /// The oldest version that it speaks.
        first: u64,
        /// The newest version that it speaks.
        last: u64,
    },
    /// A node of another cluster. Contains the name of that cluster.
    OtherCluster(String),
    /// A node that holds another secret. Contains the ids of the keys that it holds.
    OtherSecret(Vec<KeyId>),
    /// A node that requires a secret. This node has none.
    SecretRequired,
    /// A node that has no secret. This node requires one.
    NoSecret,
    /// The last attempts to dial the address reached this node itself. Other attempts may reach another
    /// node, for example behind a load balancer.
    Oneself,
}

impl fmt::Display for NoSupport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoSupport::Unreachable(error) => write!(f, "nothing responds ({error})"),
            NoSupport::Mute => f.write_str("something accepts connections but sends nothing"),
            NoSupport::NotFlyrpc(response) => write!(f, "not flyrpc: {response}"),
            NoSupport::Protocol { first, last } => {
                write!(f, "speaks versions {first} to {last} of the protocol")
            }
            NoSupport::OtherCluster(name) => write!(f, "belongs to the cluster {name:?}"),
            NoSupport::OtherSecret(keys) if keys.is_empty() => f.write_str("holds another secret"),
            NoSupport::OtherSecret(keys) => {
                write!(f, "holds another secret: {}", KeyId::list(keys))
            }
            NoSupport::SecretRequired => f.write_str("requires a secret; this node has none"),
            NoSupport::NoSecret => f.write_str("has no secret; this node requires one"),
            NoSupport::Oneself => f.write_str("this node itself"),
        }
    }
}
