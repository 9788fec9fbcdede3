//! [`Target`].

use std::fmt;

use super::{node::NodeId, region::Region};

/// The target of a call, as reported in [`RpcError::NoNode`](crate::error::RpcError::NoNode) and to an
/// [`Observer`](crate::telemetry::Observer).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// Any node in this region.
    Region(Region),
    /// Any node in the primary region, which is this region in the view of the caller.
    Primary(Region),
    /// This boot of a node.
    Node(NodeId),
    /// The calling node if it serves the service; otherwise the nearest node that does.
    Nearest,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Region(region) => write!(f, "region \"{region}\""),
            Target::Primary(region) => write!(f, "primary region \"{region}\""),
            Target::Node(id) => write!(f, "node {id}"),
            Target::Nearest => f.write_str("any region"),
        }
    }
}
