//! The calls over all links to one region, and the budget for their retries.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::proto::routing::RetryBudget;

/// The calls over all links to one region, and the budget for their retries.
#[derive(Debug)]
pub(crate) struct RegionCalls {
    calls: AtomicU64,
    budget: Mutex<RetryBudget>,
}

impl RegionCalls {
    pub(crate) fn new(now: Instant) -> Self {
        RegionCalls { calls: AtomicU64::new(0), budget: Mutex::new(RetryBudget::new(now)) }
    }

    /// Counts a request that was queued on a link.
    pub(super) fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Pays for one retry, and returns whether the budget allows it.
    pub(super) fn try_spend(&self, now: Instant) -> bool {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.try_spend(now, self.calls.load(Ordering::Relaxed))
    }
}
