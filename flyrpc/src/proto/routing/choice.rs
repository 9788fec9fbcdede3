//! The inputs of a pick, and its result.

use super::compat::{CallerTrait, Compats};
use crate::{
    error::{Known, Unsupported},
    types::{NodeId, NodeInfo, TargetRef},
};

/// The inputs of a pick, besides the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pick<'a> {
    pub(crate) target: TargetRef<'a>,
    /// The trait of the service called.
    pub(crate) caller: &'a CallerTrait,
    /// The position of the called method in that trait.
    pub(crate) method: usize,
    /// Nodes to exclude, because this call has already tried them.
    pub(crate) tried: &'a [NodeInfo],
    /// Whether to pick a node that is quiet or whose link was lost if there is no other. A call with another
    /// target tries that one first.
    pub(crate) accepts_unresponsive: bool,
    /// Whether the configured primary region has turned out to be out of date. A call to the primary
    /// then goes to any node that considers itself primary, if there is one.
    pub(crate) primary_moved: bool,
    pub(crate) random: u64,
    /// The current time, in microseconds since this node was started.
    pub(crate) now: u64,
}

impl Pick<'_> {
    /// Returns whether the node is excluded.
    pub(super) fn excludes(&self, node: &NodeId) -> bool {
        self.tried.iter().any(|tried| tried.id() == node)
    }
}

/// The next step of a call.
#[derive(Debug)]
pub(crate) enum Choice<'a, L> {
    /// Send the request over this link. `compats` describes how the node's methods match the caller's.
    Send { link: &'a L, compats: &'a Compats },
    /// Open a link to this node, then pick again.
    Dial(&'a NodeInfo),
    /// Fail, because this node does not support the call, and no other node may become able to take it.
    Unsupported(&'a NodeInfo, Unsupported),
    /// No node can take the call at present.
    Nobody(Known),
}
