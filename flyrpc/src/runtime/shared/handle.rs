//! Strong and weak handles to a running node.

use std::{
    ops::Deref,
    sync::{Arc, Weak},
};

use super::node_shared::NodeShared;

/// A reference to a running node. The node stops immediately when its last strong handle is
/// dropped.
pub(crate) struct Handle {
    shared: Arc<NodeShared>,
    /// False for clients inside the node's own tasks, which must not keep the node running.
    is_strong: bool,
}

impl Handle {
    /// Creates a handle that keeps the node running.
    pub(crate) fn strong(shared: Arc<NodeShared>) -> Arc<Self> {
        Arc::new(Handle { shared, is_strong: true })
    }

    /// Creates a handle that does not keep the node running.
    pub(crate) fn weak(shared: Arc<NodeShared>) -> Arc<Self> {
        Arc::new(Handle { shared, is_strong: false })
    }
}

/// The node of a client.
#[derive(Clone)]
pub(crate) enum NodeRef {
    /// Keeps the node running, unless the handle is weak.
    Handle(Arc<Handle>),
    /// Neither keeps the node running nor keeps its state in memory. A service may hold it, although the
    /// node holds the service.
    Weak(Weak<NodeShared>),
}

/// A node that a call uses until it ends.
pub(crate) enum NodeInUse {
    Handle(Arc<Handle>),
    Shared(Arc<NodeShared>),
}

impl NodeRef {
    /// Returns the node, unless it no longer exists.
    pub(crate) fn upgrade(self) -> Option<NodeInUse> {
        match self {
            NodeRef::Handle(handle) => Some(NodeInUse::Handle(handle)),
            NodeRef::Weak(shared) => shared.upgrade().map(NodeInUse::Shared),
        }
    }
}

impl Deref for NodeInUse {
    type Target = NodeShared;

    fn deref(&self) -> &NodeShared {
        match self {
            NodeInUse::Handle(handle) => handle,
            NodeInUse::Shared(shared) => shared,
        }
    }
}

impl Deref for Handle {
    type Target = NodeShared;

    fn deref(&self) -> &NodeShared {
        &self.shared
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.is_strong {
            self.shared.end();
        }
    }
}
