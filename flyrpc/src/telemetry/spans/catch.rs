//! Catches the panics of code of the user that makes spans.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::error::panic_message;

/// Runs code of the user. A panic must not end the calls of others that the same task serves. Logs the first panic.
pub(super) fn catch<T>(run: impl FnOnce() -> T) -> Option<T> {
    static HAS_PANICKED: AtomicBool = AtomicBool::new(false);
    let panic = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => return Some(value),
        Err(panic) => panic,
    };
    let message = panic_message(panic);
    if !HAS_PANICKED.swap(true, Ordering::Relaxed) {
        tracing::error!(panic = %message, "tracer panicked; later panics are not logged");
    }
    None
}
