//! The limit that `#[rpc(max_in_flight = …)]` sets for the calls of one method, from all callers.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// The calls of a method in progress, and their limit.
#[derive(Debug)]
pub(super) struct MethodLimit {
    limit: u32,
    in_flight: AtomicU32,
}

impl MethodLimit {
    pub(super) fn new(limit: u32) -> Arc<Self> {
        Arc::new(MethodLimit { limit, in_flight: AtomicU32::new(0) })
    }

    /// Counts a call, until the result is dropped. Returns `None` if the limit is reached.
    pub(super) fn take(self: &Arc<Self>) -> Option<MethodPermit> {
        let below_limit = |in_flight| (in_flight < self.limit).then_some(in_flight + 1);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below_limit).ok()?;
        Some(MethodPermit(Arc::clone(self)))
    }
}

/// Counts a call of a method with a limit as in progress, until it is dropped.
#[derive(Debug)]
pub(crate) struct MethodPermit(Arc<MethodLimit>);

impl Drop for MethodPermit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_beyond_the_limit_is_refused_until_another_ends() {
        let limit = MethodLimit::new(2);
        let (first, second) = (limit.take(), limit.take());
        assert!(first.is_some() && second.is_some());
        assert!(limit.take().is_none());
        drop(first);
        assert!(limit.take().is_some());
    }
}
