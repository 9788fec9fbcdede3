//! The options of a call, as its client sets them.

use std::time::Duration;

use crate::types::{NodeId, Region, Target};

/// Where a client's calls go.
#[derive(Debug, Clone)]
pub(super) enum Selector {
    /// Where the method's attributes say: to the primary, or else to the nearest node.
    Default,
    Region(Region),
    Primary,
    Node(NodeId),
}

impl Selector {
    /// The target of a call. `primary_only` is whether its method runs on primary nodes only.
    pub(super) fn target(self, primary_only: bool, primary_region: &Region) -> Target {
        match self {
            Selector::Region(region) => Target::Region(region),
            Selector::Node(id) => Target::Node(id),
            Selector::Primary => Target::Primary(primary_region.clone()),
            Selector::Default if primary_only => Target::Primary(primary_region.clone()),
            Selector::Default => Target::Nearest,
        }
    }
}

/// What a client asks of its calls. What is not set is up to the method's attributes.
#[derive(Debug, Clone)]
pub(super) struct CallOptions {
    pub(super) selector: Selector,
    pub(super) timeout: Option<Duration>,
    pub(super) wait: Option<Duration>,
}
