//! [`Stats`]: what a node counts.

use std::{collections::BTreeMap, time::Duration};

use serde::{Serialize, Serializer};

use super::{node::NodeInfo, region::Region};

/// What a node counts, as [`Node::stats`](crate::Node::stats) returns it: totals since its start, unless a field states
/// otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// The open links to other nodes, in the order of their addresses. Without those of visitors, and without older links
    /// that are being replaced.
    pub links: Vec<LinkStats>,
    /// The calls of other nodes that are in progress now, on open links or not.
    pub in_flight: u64,
    /// The bytes of bodies that the node holds now for other nodes: of requests that are announced and not yet decoded, and
    /// of long replies that are not yet written. At most
    /// [`max_body_memory`](crate::NodeBuilder::max_body_memory).
    pub body_bytes: u64,
    /// The requests of other nodes that are held now, because the node does not know whether their callers still wait.
    pub held: u64,
    /// The calls that this node has made, by status: `OK` for a reply, also for an `Err` of the handler, the text of an
    /// [`ErrorKind`](crate::ErrorKind), or `CANCELLED` if the caller dropped the call. Without the calls that nodes make to
    /// keep the cluster together.
    pub calls: BTreeMap<&'static str, u64>,
    /// The calls of this node to the nodes of each region with a link, in the order of the regions. Calls that ran in
    /// process are not included.
    pub regions: Vec<RegionStats>,
    /// The requests of other nodes that this node has refused before their handlers started, by reason: `DRAINING`,
    /// `HELD`, `OVERLOADED`, `METHOD_OVERLOADED`, `MEMORY`, `NOT_PRIMARY`, `DENIED`, `NO_METHOD` or
    /// `ARGUMENTS_TOO_LARGE`.
    pub refusals: BTreeMap<&'static str, u64>,
    /// The methods that this node serves, in the order of its services.
    pub handlers: Vec<HandlerStats>,
    /// The attempts to dial other nodes.
    pub dials: u64,
    /// The handshakes that have ended, in connections that either end opened: `OK`, or the kind of the failure, such as
    /// `NOT_FLYRPC`.
    pub handshakes: BTreeMap<&'static str, u64>,
    /// The datagrams of the gossip.
    pub gossip: GossipStats,
}

/// What is in flight on a link to another node now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LinkStats {
    /// The other node.
    pub node: NodeInfo,
    /// This node's calls that wait for a response.
    pub calls: u64,
    /// The other node's requests that have no response yet.
    pub requests: u64,
    /// The bytes that wait to be written: frames, and the bodies of requests and replies. Without what the socket has taken.
    pub queued_bytes: u64,
    /// The part of [`Stats::body_bytes`] that the other node takes, over all of its links.
    pub body_bytes: u64,
}

/// The calls of other nodes that a method has served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HandlerStats {
    /// The service's name on the wire.
    pub service: String,
    /// The method's name on the wire.
    pub method: String,
    /// The handlers that have ended.
    pub calls: u64,
    /// The time from the start of these handlers to their ends, in total. Serialized in seconds.
    #[serde(serialize_with = "as_seconds")]
    pub time: Duration,
}

/// The datagrams of a node's gossip.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GossipStats {
    /// The datagrams that were sent, or dropped because too many waited to be sent.
    pub sent: u64,
    /// The datagrams that were received, whether they were gossip or not.
    pub received: u64,
    /// The received datagrams that were dropped, by reason, such as `NOT_SEALED`.
    pub dropped: BTreeMap<&'static str, u64>,
}

fn as_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    time.as_secs_f64().serialize(serializer)
}

/// The calls of a node to the nodes of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RegionStats {
    /// The region.
    pub region: Region,
    /// The calls that were sent to the region, as their first target or as a further one. Includes the calls that nodes
    /// make to each other to compare their members.
    pub calls: u64,
    /// The later attempts of these calls, including hedged ones, that were charged to the region's budget for retries.
    pub retries: u64,
    /// The attempts that were not made because the budget was exhausted.
    pub refused_retries: u64,
}
