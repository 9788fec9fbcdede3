//! Counts panics. flyrpc catches those of its tasks, so a test does not notice them otherwise.

use std::{
    cell::Cell,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How often flyrpc's own code panicked in this process.
static IN_FLYRPC: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// How often any code panicked on this thread.
    static ON_THIS_THREAD: Cell<usize> = const { Cell::new(0) };
}

/// Counts panics from now on.
pub(crate) fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default_hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.location().is_some_and(|at| at.file().contains("flyrpc/src/")) {
                IN_FLYRPC.fetch_add(1, Ordering::SeqCst);
            }
            ON_THIS_THREAD.set(ON_THIS_THREAD.get() + 1);
            default_hook(info);
        }));
    });
}

/// Returns how often flyrpc's own code panicked in this process.
pub(crate) fn panics_in_flyrpc() -> usize {
    IN_FLYRPC.load(Ordering::SeqCst)
}

/// The panics of any code on the thread of a test, which runs all tasks of its simulated cluster.
pub(crate) struct ThreadPanics {
    earlier: usize,
}

impl ThreadPanics {
    /// Counts panics from now on.
    pub(crate) fn count() -> Self {
        count_panics();
        // The thread may have run other tests.
        ThreadPanics { earlier: ON_THIS_THREAD.get() }
    }

    /// Returns how often code has panicked.
    pub(crate) fn so_far(&self) -> usize {
        ON_THIS_THREAD.get() - self.earlier
    }
}
