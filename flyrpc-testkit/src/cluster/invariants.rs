//! The invariants that a test declares.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Checks an invariant of a `C`. Returns why it does not hold.
pub(super) type Check<C> = Arc<dyn Fn(&C) -> Result<(), String> + Send + Sync>;

/// The invariants of a cluster of type `C`, and the first violation.
pub(super) struct Invariants<C>(Mutex<State<C>>);

pub(super) struct State<C> {
    /// Names and checks.
    pub(super) checks: Vec<(String, Check<C>)>,
    pub(super) violation: Option<String>,
}

impl<C> Invariants<C> {
    pub(super) fn new() -> Self {
        Invariants(Mutex::new(State { checks: Vec::new(), violation: None }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first violation, unless it belongs to the report of a run.
    pub(super) fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }
}
