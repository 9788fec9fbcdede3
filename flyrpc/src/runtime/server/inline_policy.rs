//! Whether the handlers of a method are expected to complete at their first poll.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// A handler whose first poll takes longer delays others that run in the same task.
pub(super) const INLINE_BUDGET: Duration = Duration::from_micros(100);

/// After how many quick calls in a row the next is expected to be quick, at first and at most: each
/// that is not, although it was expected to be, makes it four times as many.
pub(crate) const INLINE_AFTER: u32 = 16;
const INLINE_AFTER_MAX: u32 = 1 << 16;

/// The calls of one method so far.
#[derive(Debug)]
pub(super) struct InlinePolicy {
    /// How many of the last calls in a row were quick.
    streak: AtomicU32,
    /// How many must have been.
    needed: AtomicU32,
}

impl InlinePolicy {
    /// For a method about which nothing is known. `first` is [`INLINE_AFTER`], 0 to expect every call to be
    /// quick, or `u32::MAX` to expect none; these two last.
    pub(super) const fn new(first: u32) -> Self {
        InlinePolicy { streak: AtomicU32::new(0), needed: AtomicU32::new(first) }
    }

    /// Whether the next call can be expected to be quick.
    pub(super) fn is_quick(&self) -> bool {
        self.streak.load(Ordering::Relaxed) >= self.needed.load(Ordering::Relaxed)
    }

    /// A call was `quick`: its handler was done when it was polled first, after a short time.
    pub(super) fn record(&self, quick: bool) {
        let expected = self.is_quick();
        if quick && !expected {
            self.streak.fetch_add(1, Ordering::Relaxed);
        } else if !quick {
            self.streak.store(0, Ordering::Relaxed);
            if expected {
                let needed = self.needed.load(Ordering::Relaxed);
                self.needed.store((4 * needed).min(INLINE_AFTER_MAX), Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_n(policy: &InlinePolicy, quick: bool, times: u32) {
        (0..times).for_each(|_| policy.record(quick));
    }

    #[test]
    fn a_method_is_quick_once_enough_calls_in_a_row_were() {
        let policy = InlinePolicy::new(INLINE_AFTER);
        record_n(&policy, true, INLINE_AFTER - 1);
        assert!(!policy.is_quick());
        record_n(&policy, false, 1);
        record_n(&policy, true, INLINE_AFTER - 1);
        assert!(!policy.is_quick());
        record_n(&policy, true, 1);
        assert!(policy.is_quick());
    }

    #[test]
    fn a_policy_can_be_forced_for_good() {
        let (inline, task) = (InlinePolicy::new(0), InlinePolicy::new(u32::MAX));
        for quick in [true, false] {
            record_n(&inline, quick, 3 * INLINE_AFTER);
            record_n(&task, quick, 3 * INLINE_AFTER);
            assert!(inline.is_quick());
            assert!(!task.is_quick());
        }
    }

    #[test]
    fn a_method_that_is_quick_most_of_the_time_is_trusted_ever_less() {
        let policy = InlinePolicy::new(INLINE_AFTER);
        for needed in [INLINE_AFTER, 4 * INLINE_AFTER, 16 * INLINE_AFTER] {
            record_n(&policy, true, needed - 1);
            assert!(!policy.is_quick());
            record_n(&policy, true, 1);
            assert!(policy.is_quick());
            record_n(&policy, false, 1);
        }
        for _ in 0..20 {
            record_n(&policy, true, INLINE_AFTER_MAX);
            assert!(policy.is_quick());
            record_n(&policy, false, 3);
            assert!(!policy.is_quick());
        }
    }
}
