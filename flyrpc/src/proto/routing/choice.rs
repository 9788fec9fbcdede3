//! What a pick depends on, and its result.

use std::sync::Arc;

use super::compat::{CallerTrait, Compats};
use crate::{
    error::{Known, Unsupported},
    types::{NodeInfo, Target},
};

/// What a pick depends on, besides the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pick<'a> {
    pub(crate) target: &'a Target,
    /// The trait of the service called.
    pub(crate) caller: &'a CallerTrait,
    /// The position of the called method in that trait.
    pub(crate) method: usize,
    /// Nodes to leave out, because this call has tried them.
    pub(crate) tried: &'a [NodeInfo],
    /// Whether the configured primary region has turned out to be out of date, so that a call to the
    /// primary goes to any node that considers itself primary, if there is one.
    pub(crate) primary_moved: bool,
    pub(crate) random: u64,
}

impl Pick<'_> {
    /// Whether the node is left out.
    pub(super) fn excludes(&self, node: &NodeInfo) -> bool {
        self.tried.iter().any(|tried| tried.id() == node.id())
    }
}

/// What a call can do next.
#[derive(Debug)]
pub(crate) enum Choice<'a, L> {
    /// Send the request over this link, to a node that is compatible as `compats` tells.
    Send { link: &'a L, compats: Arc<Compats> },
    /// Open a link to this node, then pick again.
    Dial(&'a NodeInfo),
    /// Give up: this node does not support the call, and there is no other node to hope for.
    Unsupported(&'a NodeInfo, Unsupported),
    /// Give up for now: no node can take the call.
    Nobody(Known),
}
