//! [`NodeReport`].

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::types::{NodeInfo, Region, ServiceSpec};

/// The state of a node and of the peers that it knows, from its own point of view.
///
/// Reports are sent between nodes of different versions, so states and reasons are texts, and a field that the
/// sender does not know has its default value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeReport {
    /// The node.
    pub node: NodeInfo,
    /// The cluster that it belongs to.
    pub cluster: String,
    /// The version of its application. Empty if it has none.
    pub version: String,
    /// The version of flyrpc that it was built with.
    pub flyrpc: String,
    /// The oldest and the newest version of the protocol that it speaks.
    pub protocol: (u64, u64),
    /// The primary region in its configuration.
    pub primary_region: Region,
    /// Whether it accepts calls of other nodes: it is neither held nor draining.
    pub accepting: bool,
    /// Whether it is about to shut down.
    pub draining: bool,
    /// Whether its initial search for nodes is complete.
    pub ready: bool,
    /// The names of the services that it has temporarily stopped serving.
    pub withdrawn: Vec<String>,
    /// The ids of its keys, in the order of its keyring. Empty if it has no secret.
    pub keys: Vec<String>,
    /// Its wall clock, in seconds since 1970.
    pub unix_time: f64,
    /// The time since its start, in seconds.
    pub uptime: f64,
    /// The number of calls of other nodes in progress.
    pub in_flight: u64,
    /// The services that it serves.
    pub services: Vec<ServiceSpec>,
    /// The other addresses that it knows.
    pub peers: Vec<PeerReport>,
}

/// An address that a node knows, and what it knows about the node there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PeerReport {
    /// The address that the node advertises, or that a seed names.
    pub addr: SocketAddr,
    /// The node, if one responded there or other nodes reported one.
    pub node: Option<NodeInfo>,
    /// The version of its application. Empty if it has none, or if no link is open.
    pub version: String,
    /// Whether it can be reached: `linked`, `quiet`, `unlinked`, `lost`, `unreached` or `left`.
    pub state: String,
    /// Whether it can be called. `None` if that is unknown.
    pub supported: Option<bool>,
    /// Why it cannot be called. Empty if it can, or if that is unknown.
    pub reason: String,
    /// Whether it accepts calls. `false` while it is held or draining.
    pub accepting: bool,
    /// The primary region in its configuration, if a link is open.
    pub primary_region: Option<Region>,
    /// The services that it serves.
    pub services: Vec<ServiceSpec>,
    /// The names of the services that it has temporarily stopped serving.
    pub withdrawn: Vec<String>,
    /// How its link is protected: `open`, or `sealed with` and the id of a key. Empty if no link is open.
    pub security: String,
    /// The ids of the keys that it holds.
    pub keys: Vec<String>,
    /// The shortest of the last round trips, in seconds.
    pub round_trip: Option<f64>,
    /// The number of the reporting node's calls that are in flight there.
    pub in_flight: u32,
    /// The number of calls of all nodes that are in flight there, as it last reported.
    pub reported_in_flight: u32,
    /// Whether calls avoid it because most of them failed.
    pub ejected: bool,
    /// The time since gossip last arrived from it, in seconds, or since its link was opened if none has arrived. `None`
    /// if no link is open. Gossip arrives rarely in large clusters: about once in 4 s for each node.
    #[serde(default)]
    pub gossip_age: Option<f64>,
    /// Whether gossip has been absent for so long that UDP is probably blocked.
    #[serde(default)]
    pub gossip_missing: bool,
}
