//! The run of a test body on this thread.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    task::Waker,
};

use tokio::runtime::RuntimeMetrics;

use super::{blocking::BlockingTurns, census::Census};
use crate::trace::{Trace, TraceLog};

thread_local! {
    static CURRENT: RefCell<Option<Rc<Run>>> = const { RefCell::new(None) };
}

/// One run of a test body, with one seed, on a runtime of its own.
pub(crate) struct Run {
    seed: u64,
    tasks: RuntimeMetrics,
    blocking: Arc<BlockingTurns>,
    census: Census,
    networks: Cell<u32>,
    /// The logs of the clusters of the run, in the order of their starts.
    logs: RefCell<Vec<TraceLog>>,
    /// Why the run has failed, other than by its body.
    failure: RefCell<Option<String>>,
    body: RefCell<Option<Waker>>,
}

/// Ends the run of this thread when dropped.
pub(super) struct Entered {
    /// The run of the thread before.
    earlier: Option<Rc<Run>>,
}

impl Run {
    pub(super) fn new(
        seed: u64,
        tasks: RuntimeMetrics,
        blocking: Arc<BlockingTurns>,
        census: Census,
    ) -> Rc<Self> {
        Rc::new(Run {
            seed,
            tasks,
            blocking,
            census,
            networks: Cell::new(0),
            logs: RefCell::default(),
            failure: RefCell::default(),
            body: RefCell::default(),
        })
    }

    /// Makes this the run of the current thread.
    pub(super) fn enter(self: &Rc<Self>) -> Entered {
        Entered { earlier: CURRENT.replace(Some(Rc::clone(self))) }
    }

    /// Returns the run of this thread. `None` in a test with another runtime.
    pub(crate) fn current() -> Option<Rc<Run>> {
        // The thread-local value may be gone while a thread ends.
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// The seed of clusters that set none.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns a number for a new network.
    pub(crate) fn number_network(&self) -> u32 {
        let number = self.networks.get();
        self.networks.set(number + 1);
        number
    }

    /// Makes the log part of the report of a failure.
    pub(crate) fn add_log(&self, log: TraceLog) {
        self.logs.borrow_mut().push(log);
    }

    pub(super) fn traces(&self) -> Vec<Trace> {
        self.logs.borrow().iter().map(TraceLog::snapshot).collect()
    }

    /// Fails the run, and stops it as soon as possible. Only the first failure counts.
    pub(crate) fn fail(&self, failure: impl FnOnce() -> String) {
        self.failure.borrow_mut().get_or_insert_with(failure);
        self.wake_body();
    }

    pub(super) fn take_failure(&self) -> Option<String> {
        self.failure.borrow_mut().take()
    }

    pub(crate) fn blocking(&self) -> &Arc<BlockingTurns> {
        &self.blocking
    }

    pub(super) fn census(&self) -> &Census {
        &self.census
    }

    pub(super) fn alive_tasks(&self) -> usize {
        self.tasks.num_alive_tasks()
    }

    pub(super) fn set_body(&self, waker: &Waker) {
        self.blocking.set_runtime(waker);
        *self.body.borrow_mut() = Some(waker.clone());
    }

    pub(super) fn wake_body(&self) {
        if let Some(waker) = &*self.body.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Dropped outside the borrow, since destructors look for the current run.
        let _run = CURRENT.replace(self.earlier.take());
    }
}
