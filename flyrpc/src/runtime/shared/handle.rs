//! Strong and weak references to a running node.

use std::{
    ops::Deref,
    sync::{Arc, Weak},
};

use super::node_shared::NodeShared;

/// Keeps a node running. The node stops immediately when its handle is dropped.
pub(crate) struct Handle(Arc<NodeShared>);

impl Handle {
    /// Creates the handle of a node. There must be only one.
    pub(crate) fn new(shared: Arc<NodeShared>) -> Arc<Self> {
        Arc::new(Handle(shared))
    }
}

/// The node of a client.
#[derive(Clone)]
pub(crate) enum NodeRef {
    /// Keeps the node running.
    Strong(Arc<Handle>),
    /// Neither keeps the node running nor keeps its state in memory. For the node's own tasks and for its
    /// services, which the node holds.
    Weak(Weak<NodeShared>),
}

/// A node that a call uses until it ends.
pub(crate) enum NodeInUse {
    Strong(Arc<Handle>),
    Weak(Arc<NodeShared>),
}

impl NodeRef {
    /// Returns the node, unless it no longer exists.
    pub(crate) fn upgrade(self) -> Option<NodeInUse> {
        match self {
            NodeRef::Strong(handle) => Some(NodeInUse::Strong(handle)),
            NodeRef::Weak(shared) => shared.upgrade().map(NodeInUse::Weak),
        }
    }
}

impl Deref for NodeInUse {
    type Target = NodeShared;

    fn deref(&self) -> &NodeShared {
        match self {
            NodeInUse::Strong(handle) => handle,
            NodeInUse::Weak(shared) => shared,
        }
    }
}

impl Deref for Handle {
    type Target = NodeShared;

    fn deref(&self) -> &NodeShared {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.end();
    }
}
