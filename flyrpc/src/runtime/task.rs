//! Tasks of a node that user code spawns.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{
    FutureExt,
    future::{AbortHandle, Abortable},
};
use tokio::sync::oneshot;

use crate::{env::Env, error::panic_text};

/// Waits for a task that [`spawn`](crate::spawn()) or [`Node::spawn`](crate::Node::spawn) has spawned. As a future, it
/// returns the task's value. Dropping it lets the task continue.
pub struct JoinHandle<T> {
    /// Fails if the task was dropped.
    value: oneshot::Receiver<Result<T, String>>,
    abort: AbortHandle,
}

/// The error of a task that ended without a value: it panicked, was aborted, or was dropped together with its runtime
/// or in a simulated crash of its node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JoinError(Failure);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Failure {
    #[error("a task of the node panicked: {0}")]
    Panicked(String),
    #[error("a task of the node was canceled")]
    Cancelled,
}

impl JoinError {
    /// Returns whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.0, Failure::Panicked(_))
    }

    /// Returns whether the task was aborted or dropped.
    pub fn is_cancelled(&self) -> bool {
        self.0 == Failure::Cancelled
    }
}

impl<T> JoinHandle<T> {
    /// Drops the task's future the next time the task would run. Has no effect on a task that has ended.
    pub fn abort(&self) {
        self.abort.abort();
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.value.poll_unpin(task).map(|ended| match ended {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(message)) => Err(JoinError(Failure::Panicked(message))),
            Err(_dropped) => Err(JoinError(Failure::Cancelled)),
        })
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").finish_non_exhaustive()
    }
}

/// Runs `future` in a task of the environment.
pub(super) fn spawn_in<F>(env: &dyn Env, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let (done, value) = oneshot::channel();
    let (abort, registration) = AbortHandle::new_pair();
    env.spawn(Box::pin(async move {
        let running = AssertUnwindSafe(Abortable::new(future, registration)).catch_unwind();
        match running.await {
            Ok(Ok(value)) => {
                // An error means that nobody waits for the value.
                let _ = done.send(Ok(value));
            }
            Ok(Err(_aborted)) => {}
            Err(panic) => {
                let _ = done.send(Err(panic_text(&*panic).to_owned()));
                // The environment sees the panic, too.
                resume_unwind(panic);
            }
        }
    }));
    JoinHandle { value, abort }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::env::TokioEnv;

    #[tokio::test]
    async fn a_task_returns_its_value_or_how_it_ended() {
        let env = TokioEnv;
        assert_eq!(spawn_in(&env, async { 7 }).await, Ok(7));

        let error = spawn_in(&env, async { panic!("out of luck") }).await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert_eq!(error.to_string(), "a task of the node panicked: out of luck");

        let endless = spawn_in(&env, pending::<()>());
        endless.abort();
        let error = endless.await.unwrap_err();
        assert!(error.is_cancelled() && !error.is_panic());
    }

    #[tokio::test]
    async fn a_task_continues_without_its_handle() {
        let (done, ended) = oneshot::channel();
        drop(spawn_in(&TokioEnv, async move { done.send(7) }));
        assert_eq!(ended.await, Ok(7));
    }
}
