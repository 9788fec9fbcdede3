//! Runs blocking tasks in the order of their start, while no other task runs.
//!
//! A thread of tokio's blocking pool waits before it takes its first task, until the runtime has nothing else to do.
//! The runtime then waits until the thread has run every queued task and has ended. A thread ends as soon as the queue
//! is empty. Blocking tasks thus run one at a time, and complete at moments that do not depend on the operating system.

use std::{
    cell::Cell,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use tokio::runtime::Builder;

/// The time that the runtime waits for a blocking task, in real time. A task that needs the runtime to end, as if it
/// calls `Handle::block_on`, would otherwise never end.
const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    /// The number of this thread of the pool.
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

/// Controls the threads of the blocking pool of one runtime.
#[derive(Default)]
pub(crate) struct BlockingTurns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Threads that have not taken a task yet.
    waiting: usize,
    /// Whether one of these threads may start.
    is_admitted: bool,
    /// The number of the thread that the runtime waits for.
    running: Option<u64>,
    last_thread: u64,
    /// Whether threads start without waiting.
    is_open: bool,
    /// Wakes the runtime.
    runtime: Option<Waker>,
}

impl BlockingTurns {
    /// Makes the runtime that `builder` builds run its blocking tasks in turns.
    pub(crate) fn control(self: &Arc<Self>, builder: &mut Builder) {
        let (starting, stopping) = (Arc::clone(self), Arc::clone(self));
        builder
            .thread_keep_alive(Duration::ZERO)
            .on_thread_start(move || starting.on_thread_start())
            .on_thread_stop(move || stopping.on_thread_stop());
    }

    /// Sets what wakes the runtime when a thread waits.
    pub(crate) fn set_runtime(&self, waker: &Waker) {
        let mut state = self.lock();
        if !state.runtime.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.runtime = Some(waker.clone());
        }
    }

    /// Runs all queued blocking tasks. Called by the runtime while no task is runnable. Returns whether there were any.
    pub(super) fn run_queued(&self) -> bool {
        let mut state = self.lock();
        let has_work = state.waiting > 0;
        while state.waiting > 0 {
            state.is_admitted = true;
            self.changed.notify_all();
            let busy = |state: &mut State| state.is_admitted || state.running.is_some();
            let (next, elapsed) = self
                .changed
                .wait_timeout_while(state, PATIENCE, busy)
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            if elapsed.timed_out() {
                // Let the next thread start: the task may wait for its task.
                state.running = None;
                eprintln!(
                    "flyrpc-testkit: a blocking task has not ended after {PATIENCE:?} of real time; it runs beside \
                     other tasks from now on, and the run may not repeat"
                );
            }
        }
        has_work
    }

    /// Lets all threads run, also those that start later. Called when the runtime has ended.
    pub(super) fn open(&self) {
        let mut state = self.lock();
        state.is_open = true;
        // The waker holds the runtime, which holds this in its callbacks.
        let _runtime = state.runtime.take();
        drop(state);
        self.changed.notify_all();
    }

    /// Makes the runtime continue although the blocking task that calls this has not ended.
    pub(crate) fn release_current(&self) {
        self.on_thread_stop();
    }

    /// Waits until the thread that was released may run tasks again.
    pub(crate) fn wait_for_turn(&self) {
        self.on_thread_start();
    }

    fn on_thread_start(&self) {
        let mut state = self.lock();
        state.waiting += 1;
        if let Some(runtime) = &state.runtime {
            runtime.wake_by_ref();
        }
        let mut state = self
            .changed
            .wait_while(state, |state| !state.is_admitted && !state.is_open)
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state.is_admitted = false;
        state.last_thread += 1;
        state.running = Some(state.last_thread);
        THREAD.set(state.last_thread);
    }

    fn on_thread_stop(&self) {
        let mut state = self.lock();
        if state.running == Some(THREAD.get()) {
            state.running = None;
        }
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
