//! The options of a call that its client sets.

use std::{sync::Arc, time::Duration};

use super::each_call::EachCall;
use crate::types::{NodeId, Region, TargetRef};

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
    pub(super) fn target<'a>(
        &'a self,
        primary_only: bool,
        primary_region: &'a Region,
    ) -> TargetRef<'a> {
        match self {
            Selector::Region(region) => TargetRef::Region(region),
            Selector::Node(id) => TargetRef::Node(id),
            Selector::Default if !primary_only => TargetRef::Nearest,
            Selector::Primary | Selector::Default => TargetRef::Primary(primary_region),
        }
    }
}

/// The options that a client sets for its calls. The method's attributes determine those that are
/// not set.
#[derive(Debug, Clone)]
pub(super) struct CallOptions {
    pub(super) selector: Selector,
    /// The further targets, in the order in which they are tried. `None` if there are none.
    pub(super) further: Option<Arc<[Selector]>>,
    pub(super) timeout: Option<Duration>,
    pub(super) wait: Option<Duration>,
    /// Set if the call is one of those that a stream of [`Replies`](super::Replies) makes.
    pub(super) each: Option<Arc<EachCall>>,
}
