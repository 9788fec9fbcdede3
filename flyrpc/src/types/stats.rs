//! [`Stats`]: the totals that a node counts.

use serde::Serialize;

use super::region::Region;

/// Totals since the start of a node, as [`Node::stats`](crate::Node::stats) returns them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// The calls of this node to the nodes of each region with a link, in the order of the regions. Calls that ran in
    /// process are not included.
    pub regions: Vec<RegionStats>,
}

/// The calls of a node to the nodes of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RegionStats {
    /// The region.
    pub region: Region,
    /// The calls whose first attempt was sent to the region. Includes the calls that nodes make to each other to
    /// compare their members.
    pub calls: u64,
    /// The later attempts, including hedged ones, that were charged to the region's budget for retries.
    pub retries: u64,
    /// The attempts that were not made because the budget was exhausted.
    pub refused_retries: u64,
}
