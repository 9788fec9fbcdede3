//! [`yield_once`].

use std::{future::poll_fn, mem, task::Poll};

/// Yields to the tasks that are currently ready on this thread. tokio's `yield_now` also yields to tasks
/// that become ready in the meantime.
pub(crate) async fn yield_once() {
    let mut yielded = false;
    poll_fn(|task| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
