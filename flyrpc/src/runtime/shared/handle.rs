//! Strong and weak handles to a running node.

use std::{ops::Deref, sync::Arc};

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
