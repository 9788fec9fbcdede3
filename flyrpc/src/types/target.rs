//! [`Target`].

use std::fmt;

use super::{
    node::{NodeId, NodeInfo},
    region::Region,
};

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

/// A borrowed [`Target`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum TargetRef<'a> {
    Region(&'a Region),
    Primary(&'a Region),
    Node(&'a NodeId),
    Nearest,
}

impl Target {
    pub(crate) fn borrowed(&self) -> TargetRef<'_> {
        match self {
            Target::Region(region) => TargetRef::Region(region),
            Target::Primary(region) => TargetRef::Primary(region),
            Target::Node(id) => TargetRef::Node(id),
            Target::Nearest => TargetRef::Nearest,
        }
    }
}

impl TargetRef<'_> {
    pub(crate) fn to_owned(self) -> Target {
        match self {
            TargetRef::Region(region) => Target::Region(region.clone()),
            TargetRef::Primary(region) => Target::Primary(region.clone()),
            TargetRef::Node(id) => Target::Node(id.clone()),
            TargetRef::Nearest => Target::Nearest,
        }
    }

    pub(crate) fn is_primary(self) -> bool {
        matches!(self, TargetRef::Primary(_))
    }

    /// Returns whether the target includes `node`, provided that the node serves the method.
    pub(crate) fn includes(self, node: &NodeInfo) -> bool {
        match self {
            TargetRef::Region(region) | TargetRef::Primary(region) => region == node.region(),
            TargetRef::Node(id) => id == node.id(),
            TargetRef::Nearest => true,
        }
    }
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
