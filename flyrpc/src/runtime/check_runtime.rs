//! Checks that a node is started where it can run.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use tokio::runtime::Handle;

use crate::error::{StartError, panic_text};

/// Fails if the current task does not run in a tokio runtime with time. Without this check, the node would
/// start, and each of its calls would panic.
///
/// tokio reveals only by a panic whether a runtime has time or I/O. The panics are caught, but the panic
/// hook reports them.
pub(super) fn check_time() -> Result<(), StartError> {
    if Handle::try_current().is_err() {
        return Err(StartError::Runtime {
            why: "`start` was not polled in one; use `#[tokio::main]`",
        });
    }
    let sleep = || drop(tokio::time::sleep(Duration::ZERO));
    match catch_unwind(AssertUnwindSafe(sleep)) {
        Ok(()) => Ok(()),
        Err(_) => {
            Err(StartError::Runtime { why: "this one has no time; build it with `enable_all`" })
        }
    }
}

/// Returns the error for a panic of binding a socket in a runtime without I/O. Resumes any other panic.
pub(super) fn bind_panicked(panic: Box<dyn Any + Send>) -> StartError {
    if panic_text(&*panic).contains("enable_io") {
        return StartError::Runtime { why: "this one has no I/O; build it with `enable_all`" };
    }
    resume_unwind(panic)
}
