//! What a call was aimed at.

use std::fmt;

use super::{NodeId, Region};

/// What a call was aimed at, as [`RpcError::NoNode`](crate::error::RpcError::NoNode) reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// Any node in this region.
    Region(Region),
    /// Any node in the primary region, which the caller takes to be this one.
    Primary(Region),
    /// That boot of that node.
    Node(NodeId),
    /// This node if it serves the service, else the nearest that does.
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
