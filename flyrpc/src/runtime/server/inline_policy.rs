//! Whether the handlers of a method are expected to complete at their first poll.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

/// Upper bound on the duration of a quick handler's first poll. A slower handler delays the other
/// handlers in the same task. It also takes so much longer than spawning a task that it should run in
/// parallel with them, on another core.
pub(super) const INLINE_BUDGET: Duration = Duration::from_micros(25);

/// The initial number of consecutive quick calls after which the next call is expected to be quick.
/// Each time a call was expected to be quick but was not, the number is multiplied by 4.
pub(crate) const INLINE_AFTER: u32 = 16;
/// Upper bound on the number of consecutive quick calls that may be required.
const INLINE_AFTER_MAX: u32 = 1 << 16;

/// After this many times the required number of consecutive quick calls, the required number is divided
/// by 4. A method that was slow once, or whose thread the system suspended, thus becomes trusted again.
const FORGIVEN_AFTER: u32 = 4;

/// The history of one method's calls.
#[derive(Debug)]
pub(super) struct InlinePolicy {
    /// The number of consecutive quick calls. It stops increasing once nothing depends on it.
    streak: AtomicU32,
    /// The number of consecutive quick calls after which the next call is expected to be quick.
    needed: AtomicU32,
    /// The initial value of `needed`.
    first: u32,
    /// Whether the first poll of the last call took [`INLINE_BUDGET`] or longer.
    heavy: AtomicBool,
}

impl InlinePolicy {
    /// Creates the policy of a method without a history. `first` is [`INLINE_AFTER`], 0 to always expect
    /// quick calls, or `u32::MAX` to never expect them. 0 and `u32::MAX` are permanent: later calls do
    /// not change them.
    pub(super) const fn new(first: u32) -> Self {
        let (streak, needed) = (AtomicU32::new(0), AtomicU32::new(first));
        InlinePolicy { streak, needed, first, heavy: AtomicBool::new(false) }
    }

    /// Returns whether the next call is expected to be quick.
    pub(super) fn is_quick(&self) -> bool {
        self.streak.load(Ordering::Relaxed) >= self.needed.load(Ordering::Relaxed)
    }

    /// Returns whether the next call is expected to occupy its thread for long.
    pub(super) fn is_heavy(&self) -> bool {
        self.heavy.load(Ordering::Relaxed)
    }

    /// Records whether the first poll of a call took [`INLINE_BUDGET`] or longer.
    pub(super) fn record_heavy(&self, heavy: bool) {
        // The common case writes nothing, so cores do not contend for the value.
        if self.is_heavy() != heavy {
            self.heavy.store(heavy, Ordering::Relaxed);
        }
    }

    /// Records a call. The call was `quick` if its handler completed in its first poll, within
    /// [`INLINE_BUDGET`].
    pub(super) fn record(&self, quick: bool) {
        let needed = self.needed.load(Ordering::Relaxed);
        let expected = self.streak.load(Ordering::Relaxed) >= needed;
        match (quick, expected) {
            // The common case writes nothing, so cores do not contend for the counter.
            (true, true) if needed == self.first => {}
            (true, _) => {
                let streak = self.streak.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                if expected && streak >= FORGIVEN_AFTER * needed {
                    self.streak.store(needed, Ordering::Relaxed);
                    self.needed.store((needed / 4).max(self.first), Ordering::Relaxed);
                }
            }
            (false, _) => {
                self.streak.store(0, Ordering::Relaxed);
                if expected {
                    self.needed.store((4 * needed).min(INLINE_AFTER_MAX), Ordering::Relaxed);
                }
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
    fn a_policy_can_be_forced_permanently() {
        let (inline, task) = (InlinePolicy::new(0), InlinePolicy::new(u32::MAX));
        for quick in [true, false] {
            record_n(&inline, quick, 3 * INLINE_AFTER);
            record_n(&task, quick, 3 * INLINE_AFTER);
            assert!(inline.is_quick());
            assert!(!task.is_quick());
        }
    }

    #[test]
    fn each_slow_call_of_a_mostly_quick_method_raises_the_threshold() {
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

    #[test]
    fn a_method_that_stays_quick_is_trusted_again() {
        let policy = InlinePolicy::new(INLINE_AFTER);
        let required = |policy: &InlinePolicy| policy.needed.load(Ordering::Relaxed);
        while required(&policy) < INLINE_AFTER_MAX {
            record_n(&policy, true, required(&policy));
            record_n(&policy, false, 1);
        }
        record_n(&policy, true, INLINE_AFTER_MAX);
        assert_eq!(required(&policy), INLINE_AFTER_MAX);
        record_n(&policy, true, 3 * INLINE_AFTER_MAX - 1);
        assert_eq!(required(&policy), INLINE_AFTER_MAX);
        record_n(&policy, true, 1);
        assert_eq!(required(&policy), INLINE_AFTER_MAX / 4);
        assert!(policy.is_quick());
        record_n(&policy, true, 2 * INLINE_AFTER_MAX);
        assert_eq!(required(&policy), INLINE_AFTER);
        // Another slow call costs no more than the first one.
        record_n(&policy, false, 1);
        assert_eq!(required(&policy), 4 * INLINE_AFTER);
    }
}
