//! Calls that are polled on a thread outside tokio, for example by another executor.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
};

use tokio::{runtime::Handle, task};

use crate::runtime::shared::NodeShared;

/// Returns the runtime that a call must enter: the runtime of its node if the current thread is in none.
pub(crate) fn runtime_to_enter(node: &NodeShared) -> Option<&Handle> {
    // Most calls are polled in a task, which has an id. Reading it is cheaper than `try_current`, which
    // counts a reference. Only the future that a runtime blocks on has no id.
    if task::try_id().is_some() || Handle::try_current().is_ok() {
        return None;
    }
    Some(node.runtime())
}

/// Whether the current thread is in the runtime of the node.
#[inline]
pub(super) fn is_in_runtime_of(node: &NodeShared) -> bool {
    Handle::try_current().is_ok_and(|current| current.id() == node.runtime().id())
}

/// Polls `future` within `runtime`, if there is one. Timers that are created in a runtime work on any
/// thread, but a handler that runs in this process may use the runtime in each poll.
pub(super) async fn within<F: Future + Unpin>(
    runtime: Option<&Handle>,
    mut future: F,
) -> F::Output {
    poll_fn(|task| {
        let _entered = runtime.map(Handle::enter);
        Pin::new(&mut future).poll(task)
    })
    .await
}
