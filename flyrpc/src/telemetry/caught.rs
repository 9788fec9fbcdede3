//! A wrapper that catches the panics of an observer.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::observer::{Observed, Observer};
use crate::error::panic_message;

/// Calls an observer and catches its panics. Logs the first panic.
pub(crate) struct CaughtObserver {
    observer: Arc<dyn Observer>,
    has_panicked: AtomicBool,
}

impl CaughtObserver {
    pub(crate) fn new(observer: impl Observer) -> Self {
        CaughtObserver { observer: Arc::new(observer), has_panicked: AtomicBool::new(false) }
    }
}

impl Observer for CaughtObserver {
    fn observe(&self, observed: &Observed<'_>) {
        let caught = catch_unwind(AssertUnwindSafe(|| self.observer.observe(observed)));
        let Err(panic) = caught else { return };
        let message = panic_message(panic);
        if !self.has_panicked.swap(true, Ordering::Relaxed) {
            tracing::error!(panic = %message, "observer panicked; later panics are not logged");
        }
    }
}
