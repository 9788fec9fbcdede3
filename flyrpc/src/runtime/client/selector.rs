//! The options of a call that its client sets.

use std::time::Duration;

use crate::types::{NodeId, Region, Target};

/// Selects the target of a client's calls.
#[derive(Debug, Clone)]
pub(super) enum Selector {
    /// The target that the method's attributes imply: the primary, or else the nearest node.
    Default,
    Region(Region),
    Primary,
    Node(NodeId),
}

impl Selector {
    /// Returns the target of a call. `primary_only` is whether its method runs only on primary
    /// nodes.
    pub(super) fn target(&self, primary_only: bool, primary_region: &Region) -> Target {
        match self {
            Selector::Region(region) => Target::Region(region.clone()),
            Selector::Node(id) => Target::Node(id.clone()),
            Selector::Primary => Target::Primary(primary_region.clone()),
            Selector::Default if primary_only => Target::Primary(primary_region.clone()),
            Selector::Default => Target::Nearest,
        }
    }
}

/// The options that a client sets for its calls. The method's attributes determine those that are
/// not set.
#[derive(Debug, Clone)]
pub(super) struct CallOptions {
    pub(super) selector: Selector,
    pub(super) timeout: Option<Duration>,
    pub(super) wait: Option<Duration>,
}
