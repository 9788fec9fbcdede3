//! Wakes the calls of a link at their deadlines.

use std::sync::{Arc, OnceLock};

use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use crate::env::Env;

/// The timer of the calls that wait on a link. A timer for each call would have to be created, registered
/// and removed with the call.
///
/// Its task is not a task of the node: a call ends at its deadline even if the tasks of its node are
/// frozen in a simulation.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// Notified when a call expires earlier than the timer is set for.
    earlier: Arc<Notify>,
    /// Started with the first call.
    task: OnceLock<AbortHandle>,
}

impl Deadlines {
    /// Sets the timer again. The current thread must be in the runtime of the link's node. `expire` ends the
    /// calls whose deadlines have passed, and returns the next deadline.
    #[cold]
    pub(super) fn set_earlier(&self, env: &dyn Env, expire: impl Fn() -> Next + Send + 'static) {
        self.task.get_or_init(|| {
            let run = run(expire, Arc::clone(&self.earlier));
            env.spawn_outside(Box::pin(run))
        });
        self.earlier.notify_one();
    }
}

impl Drop for Deadlines {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// When calls have to be ended next.
pub(super) enum Next {
    At(Instant),
    NoCall,
    /// The link no longer exists.
    NoLink,
}

async fn run(expire: impl Fn() -> Next, earlier: Arc<Notify>) {
    loop {
        match expire() {
            Next::NoLink => return,
            Next::NoCall => earlier.notified().await,
            Next::At(next) => tokio::select! {
                biased;
                () = sleep_until(next) => {}
                () = earlier.notified() => {}
            },
        }
    }
}
