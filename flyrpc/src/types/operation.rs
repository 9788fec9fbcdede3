//! What an operator asks a node to do.

use std::{fmt, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{node::NodeId, region::Region};

/// A change to the calls that a node accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeAction {
    /// Accept calls of other nodes, as [`Node::accept`](crate::Node::accept) does.
    Accept,
    /// Accept none until the next `Accept`, as [`Node::hold`](crate::Node::hold) does.
    Hold,
    /// Accept none until the node is restarted, as [`Node::drain`](crate::Node::drain) does. The node completes the calls in
    /// progress, and keeps running.
    Drain,
}

impl fmt::Display for NodeAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            NodeAction::Accept => "accept",
            NodeAction::Hold => "hold",
            NodeAction::Drain => "drain",
        })
    }
}

/// The target of a call that a node makes for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RelayTarget {
    /// A node in this region.
    Region(Region),
    /// A node in the primary region of the node that makes the call.
    Primary,
    /// This boot of a node.
    Node(NodeId),
    /// The node that makes the call if it serves the method; otherwise the nearest node that does.
    Nearest,
}

impl fmt::Display for RelayTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelayTarget::Region(region) => write!(f, "region {region}"),
            RelayTarget::Primary => f.write_str("the primary region"),
            RelayTarget::Node(id) => write!(f, "node {id}"),
            RelayTarget::Nearest => f.write_str("the nearest node"),
        }
    }
}

/// A call that a node makes for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RelayedCall {
    pub(crate) target: RelayTarget,
    pub(crate) service: String,
    pub(crate) method: String,
    /// Encoded as in a request.
    pub(crate) arguments: Bytes,
    pub(crate) timeout: Duration,
}
