//! Whether the handlers of a method are expected to complete at their first poll.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

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

/// Slow first polls of a method that otherwise completes quickly are tolerated inline if they take at most one part in this many
/// of the time: for this many times its duration after a slow poll, each further one counts against the method, and the next
/// calls do not run inline. Even a method that is always quick has slow polls, because of interrupts: on a virtual machine, a
/// timer tick takes 25 to 80 µs, and 100 per second hit a handler of a busy node.
const TOLERATED: u32 = 100;

/// Slow first polls that take longer than this are never tolerated.
const TOLERATED_MAX: Duration = Duration::from_millis(5);

/// While a method is not expected to be quick, whether its last slow poll is tolerable by now is checked each time that this
/// many calls in a row were quick.
const CHECK_EVERY: u32 = 64;

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
    /// The time until which another slow first poll counts against the method. `None` if that time has no end.
    slow_until: Mutex<Option<Instant>>,
}

impl InlinePolicy {
    /// Creates the policy of a method without a history. `first` is [`INLINE_AFTER`], 0 to always expect
    /// quick calls, or `u32::MAX` to never expect them. 0 and `u32::MAX` are permanent: later calls do
    /// not change them.
    pub(super) const fn new(first: u32) -> Self {
        let (streak, needed) = (AtomicU32::new(0), AtomicU32::new(first));
        let (heavy, slow_until) = (AtomicBool::new(false), Mutex::new(None));
        InlinePolicy { streak, needed, first, heavy, slow_until }
    }

    /// Returns whether the next call is expected to be quick.
    pub(super) fn is_quick(&self) -> bool {
        self.streak.load(Ordering::Relaxed) >= self.needed.load(Ordering::Relaxed)
    }

    /// Returns whether the next call is expected to occupy its thread for long.
    pub(super) fn is_heavy(&self) -> bool {
        self.heavy.load(Ordering::Relaxed)
    }

    /// Records the first poll of a call, which took this long until `now`, and completed the call if `is_ready`.
    #[inline]
    pub(super) fn record(&self, is_ready: bool, took: Duration, now: Instant) {
        let is_quick = is_ready && took < INLINE_BUDGET;
        let needed = self.needed.load(Ordering::Relaxed);
        let expected = self.streak.load(Ordering::Relaxed) >= needed;
        // The common case writes nothing, so cores do not contend for the values.
        if !(is_quick && expected && needed == self.first && !self.is_heavy()) {
            self.update(is_ready, took, now);
        }
    }

    #[cold]
    fn update(&self, is_ready: bool, took: Duration, now: Instant) {
        let is_heavy = took >= INLINE_BUDGET;
        self.heavy.store(is_heavy, Ordering::Relaxed);
        if is_heavy && self.is_tolerated(took, now) && is_ready {
            return;
        }
        let needed = self.needed.load(Ordering::Relaxed);
        let expected = self.streak.load(Ordering::Relaxed) >= needed;
        match (is_ready && !is_heavy, expected) {
            (true, true) if needed == self.first => {}
            (true, _) => {
                let streak = self.streak.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                if expected && streak >= FORGIVEN_AFTER * needed {
                    self.streak.store(needed, Ordering::Relaxed);
                    self.needed.store((needed / 4).max(self.first), Ordering::Relaxed);
                } else if !expected && streak.is_multiple_of(CHECK_EVERY) && self.is_forgiven(now) {
                    self.needed.store(self.first, Ordering::Relaxed);
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

    /// Returns whether a slow first poll that ended `now` is tolerated.
    #[cold]
    fn is_tolerated(&self, took: Duration, now: Instant) -> bool {
        let is_short = took <= TOLERATED_MAX;
        let until = is_short.then(|| now + TOLERATED * took);
        let before = std::mem::replace(&mut *self.lock(), until);
        is_short && before.is_some_and(|before| before <= now - took)
    }

    /// Returns whether the last slow first poll was tolerable, and long enough ago.
    #[cold]
    fn is_forgiven(&self, now: Instant) -> bool {
        self.lock().is_some_and(|until| until <= now)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.slow_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(1);

    /// Records calls that are quick, or wait for something.
    fn record_n(policy: &InlinePolicy, quick: bool, times: u32) {
        let now = Instant::now();
        (0..times).for_each(|_| policy.record(quick, QUICK, now));
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

    /// A method that is expected to be quick, and that was slow for `took`.
    fn slow_once(took: Duration) -> (InlinePolicy, Instant) {
        let (policy, now) = (InlinePolicy::new(INLINE_AFTER), Instant::now());
        record_n(&policy, true, INLINE_AFTER);
        policy.record(true, took, now);
        assert!(!policy.is_quick(), "nothing is known about the time before");
        (policy, now)
    }

    #[test]
    fn slow_polls_that_take_up_to_1_percent_of_the_time_are_tolerated() {
        let slow = Duration::from_micros(30);
        let (policy, mut now) = slow_once(slow);
        record_n(&policy, true, 4 * INLINE_AFTER);
        for _ in 0..10 {
            now += 101 * slow;
            policy.record(true, slow, now);
            assert!(policy.is_quick());
        }
        policy.record(true, slow, now + 100 * slow);
        assert!(!policy.is_quick());
    }

    #[test]
    fn a_method_is_trusted_again_once_its_last_slow_poll_is_tolerable() {
        let slow = Duration::from_millis(4);
        let (policy, now) = slow_once(slow);
        policy.needed.store(INLINE_AFTER_MAX, Ordering::Relaxed);
        let record = |at, times| (0..times).for_each(|_| policy.record(true, QUICK, at));
        record(now + 99 * slow, 10 * CHECK_EVERY);
        assert!(!policy.is_quick());
        record(now + 100 * slow, CHECK_EVERY - 1);
        assert!(!policy.is_quick());
        record(now + 100 * slow, 1);
        assert!(policy.is_quick());
    }

    #[test]
    fn long_polls_are_never_tolerated() {
        let long = TOLERATED_MAX + QUICK;
        let (policy, now) = slow_once(long);
        let later = now + Duration::from_secs(3600);
        (0..2 * INLINE_AFTER).for_each(|_| policy.record(true, QUICK, later));
        assert!(!policy.is_quick());
        record_n(&policy, true, 4 * INLINE_AFTER);
        assert!(policy.is_quick());
        policy.record(true, long, later);
        assert!(!policy.is_quick());
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
