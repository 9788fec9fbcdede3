//! Supervises the tasks that a node cannot run without. When one of them fails, the node ends, and
//! [`NodeShared::failure`] returns the reason.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tracing::Instrument;

use super::node_shared::NodeShared;
use crate::error::{NodeFailure, panic_message};

impl NodeShared {
    /// Spawns a task of this node, named `task` in errors. If the task panics, or is dropped before it
    /// completes, the node ends.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        task: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut supervised = Supervised { shared: Arc::clone(self), task, is_over: false };
        // Boxed, because a future that awaits one of its variables contains it twice.
        let future = Box::pin(future);
        let supervision = async move {
            let result = AssertUnwindSafe(future).catch_unwind().await;
            supervised.is_over = true;
            if let Err(panic) = result {
                let failure = NodeFailure::panicked(task, &panic_message(panic));
                tracing::error!(error = %failure, "node failed");
                supervised.shared.fail(failure);
            }
        };
        self.env().spawn_essential(Box::pin(supervision.instrument(self.span().clone())));
    }
}

/// A supervised task of a node.
struct Supervised {
    shared: Arc<NodeShared>,
    task: &'static str,
    is_over: bool,
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // The task was dropped without another poll, either with its runtime or in a simulated crash.
        if !self.is_over {
            self.shared.fail(NodeFailure::dropped(self.task));
        }
    }
}
