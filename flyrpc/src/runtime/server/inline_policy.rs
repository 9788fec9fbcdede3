//! Whether a method's handlers are done as soon as they are polled, as far as was seen.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// A handler that is polled for longer holds up others that run in the same task.
pub(super) const INLINE_BUDGET: Duration = Duration::from_micros(100);

/// After how many quick calls in a row the next is expected to be quick, at first and at most: each
/// that is not, although it was expected to be, makes it four times as many.
pub(crate) const FIRST: u32 = 16;
const MOST: u32 = 1 << 16;

/// The calls of one method so far.
#[derive(Debug)]
pub(super) struct InlinePolicy {
    /// How many of the last calls in a row were quick.
    streak: AtomicU32,
    /// How many must have been.
    needed: AtomicU32,
}

impl InlinePolicy {
    /// For a method about which nothing is known. `first` is [`FIRST`], 0 to expect every call to be
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
                self.needed.store((4 * needed).min(MOST), Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pace: &InlinePolicy, quick: bool, times: u32) {
        (0..times).for_each(|_| pace.record(quick));
    }

    #[test]
    fn a_method_is_quick_once_enough_calls_in_a_row_were() {
        let pace = InlinePolicy::new(FIRST);
        seen(&pace, true, FIRST - 1);
        assert!(!pace.is_quick());
        seen(&pace, false, 1);
        seen(&pace, true, FIRST - 1);
        assert!(!pace.is_quick());
        seen(&pace, true, 1);
        assert!(pace.is_quick());
    }

    #[test]
    fn a_policy_can_be_forced_for_good() {
        let (inline, task) = (InlinePolicy::new(0), InlinePolicy::new(u32::MAX));
        for quick in [true, false] {
            seen(&inline, quick, 3 * FIRST);
            seen(&task, quick, 3 * FIRST);
            assert!(inline.is_quick());
            assert!(!task.is_quick());
        }
    }

    #[test]
    fn a_method_that_is_quick_most_of_the_time_is_trusted_ever_less() {
        let pace = InlinePolicy::new(FIRST);
        for needed in [FIRST, 4 * FIRST, 16 * FIRST] {
            seen(&pace, true, needed - 1);
            assert!(!pace.is_quick());
            seen(&pace, true, 1);
            assert!(pace.is_quick());
            seen(&pace, false, 1);
        }
        for _ in 0..20 {
            seen(&pace, true, MOST);
            assert!(pace.is_quick());
            seen(&pace, false, 3);
            assert!(!pace.is_quick());
        }
    }
}
