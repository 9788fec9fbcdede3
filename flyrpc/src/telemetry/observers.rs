//! All observers of one node, and its spans.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{
    caught::CaughtObserver,
    observer::{Observed, Observer},
    spans::Spans,
};

/// The observers of a node, and its spans. Each observer receives every report.
pub(crate) struct Observers {
    observers: Box<[CaughtObserver]>,
    spans: Option<Spans>,
    /// The number of executions that were reported as started.
    executions: AtomicU64,
}

impl Observers {
    /// Returns `None` if there are no observers, and calls have no spans.
    pub(crate) fn new(observers: Vec<CaughtObserver>, spans: Option<Spans>) -> Option<Self> {
        let observes = !observers.is_empty() || spans.is_some();
        observes.then(|| Observers {
            observers: observers.into(),
            spans,
            executions: AtomicU64::new(0),
        })
    }

    /// Whether there are spans only.
    pub(crate) fn is_empty(&self) -> bool {
        self.observers.is_empty()
    }

    /// Returns what makes the spans of calls, if they have any.
    pub(crate) fn spans(&self) -> Option<&Spans> {
        self.spans.as_ref()
    }

    /// Returns the number of an execution that starts.
    pub(crate) fn next_execution(&self) -> u64 {
        self.executions.fetch_add(1, Relaxed) + 1
    }

    /// Reports to each observer, in the order in which they were added.
    pub(crate) fn observe(&self, observed: &Observed<'_>) {
        self.observers.iter().for_each(|observer| observer.observe(observed));
    }
}
