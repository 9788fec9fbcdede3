//! [`Entry`]: a node in the routing table.

use crate::types::NodeInfo;

/// A live node, other than this one.
#[derive(Debug, Clone)]
pub(crate) struct Entry<L> {
    pub(crate) info: NodeInfo,
    /// The link to it, if one is open.
    pub(crate) link: Option<L>,
    /// Whether the last link to it was lost and no other is open.
    pub(crate) disconnected: bool,
    /// Whether an attempt to dial the node has failed since its last open link. Such a node is dialed
    /// only when its backoff ends, and calls do not wait for that.
    pub(crate) unreachable: bool,
    /// Whether the node, when it was last dialed, supported no protocol version that this node supports.
    pub(crate) other_protocol: bool,
}

impl<L> Entry<L> {
    /// Returns the link over which calls can be sent, if its state allows it.
    pub(super) fn link(&self) -> Option<&L> {
        self.link.as_ref().filter(|_| !self.other_protocol)
    }
}

#[cfg(any(test, feature = "unstable"))]
impl<L> Entry<L> {
    /// Returns the entry of a node that was never disconnected.
    pub(crate) fn linked(info: NodeInfo, link: Option<L>) -> Self {
        Entry { info, link, disconnected: false, unreachable: false, other_protocol: false }
    }
}
