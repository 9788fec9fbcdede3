//! [`Nodes`].

use super::region::Region;

/// The nodes that a client's `each` calls, for example
/// `strings.each(Nodes::in_region("hkg"), |strings| strings.upcase("fly".into()))`.
///
/// In every case, these are live nodes that serve the service of the client when the stream is first polled:
/// see [`Replies`](crate::Replies).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Nodes(NodeSet);

/// The sets of nodes that [`Nodes`] can describe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum NodeSet {
    All,
    Others,
    InRegion(Region),
    OnePerRegion,
}

impl Nodes {
    /// All nodes in all regions, including this node.
    pub fn all() -> Self {
        Nodes(NodeSet::All)
    }

    /// All nodes in all regions except this node.
    pub fn others() -> Self {
        Nodes(NodeSet::Others)
    }

    /// All nodes in one region, including this node if it is there. The name of a region is
    /// case-insensitive.
    pub fn in_region(region: impl Into<Region>) -> Self {
        Nodes(NodeSet::InRegion(region.into()))
    }

    /// One node in each region, chosen as for a call with `on_region`: this node in its own region, if it
    /// serves the method. If a node certainly does not execute its call, or if the method is idempotent,
    /// the call may move on to another node of the region.
    pub fn one_per_region() -> Self {
        Nodes(NodeSet::OnePerRegion)
    }

    pub(crate) fn set(&self) -> &NodeSet {
        &self.0
    }
}
