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

    /// Returns whether no call may start at present.
    pub(super) fn is_reached(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) >= self.limit
    }
}

/// Allows a call of a method. If the method has a limit, the call counts as in progress until this is dropped.
#[derive(Debug)]
pub(crate) struct MethodPermit(Option<Arc<MethodLimit>>);

impl MethodPermit {
    /// Permits a call of a method without a limit.
    pub(super) const UNLIMITED: Self = MethodPermit(None);

    /// Takes a permit for a call of a method with this limit. Returns `None` if the limit is reached.
    #[inline]
    pub(super) fn take(limit: Option<&Arc<MethodLimit>>) -> Option<Self> {
        let Some(limit) = limit else { return Some(MethodPermit::UNLIMITED) };
        let below_limit = |in_flight| (in_flight < limit.limit).then_some(in_flight + 1);
        limit.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below_limit).ok()?;
        Some(MethodPermit(Some(Arc::clone(limit))))
    }
}

impl Drop for MethodPermit {
    #[inline]
    fn drop(&mut self) {
        if let Some(limit) = &self.0 {
            limit.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_beyond_the_limit_is_refused_until_another_ends() {
        let limit = MethodLimit::new(2);
        let take = || MethodPermit::take(Some(&limit));
        let (first, second) = (take(), take());
        assert!(first.is_some() && second.is_some());
        assert!(limit.is_reached() && take().is_none());
        drop(first);
        assert!(!limit.is_reached());
        assert!(take().is_some());
    }

    #[test]
    fn a_method_without_a_limit_always_has_a_permit() {
        assert!(MethodPermit::take(None).is_some());
    }
}
