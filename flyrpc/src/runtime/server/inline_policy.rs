//! Whether the handlers of a method are expected to complete at their first poll.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, time::Instant};

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

/// Slow first polls of a method that is expected to be quick are tolerated while they take at most 1 % of the time of the
/// runtime's threads: each counts against the method for this many times its duration. Even a method that is always quick has slow polls, because of interrupts. On a virtual
/// machine, a timer tick takes 25 to 80 µs, and 100 per second hit a handler of a busy thread.
const TOLERATED: u32 = 100;

/// A slow first poll that takes longer than this is not tolerated.
const TOLERATED_MAX: Duration = Duration::from_micros(500);

/// Upper bound on the time for which slow first polls count against a method.
const COUNTED_MAX: Duration = Duration::from_secs(60);

/// While a method is not expected to be quick, each time that this many calls in a row were quick, it is checked whether its
/// slow polls still count.
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
    /// Whether a call that was expected to be quick had to wait for something, instead of taking long.
    waited: AtomicBool,
    /// The time until which slow first polls count against the method: each adds [`TOLERATED`] times its duration. `None`
    /// until the first one.
    slow_until: Mutex<Option<Instant>>,
}

impl InlinePolicy {
    /// Creates the policy of a method without a history. `first` is [`INLINE_AFTER`], 0 to always expect
    /// quick calls, or `u32::MAX` to never expect them. 0 and `u32::MAX` are permanent: later calls do
    /// not change them.
    pub(super) const fn new(first: u32) -> Self {
        let (streak, needed) = (AtomicU32::new(0), AtomicU32::new(first));
        let [heavy, waited] = [const { AtomicBool::new(false) }; 2];
        InlinePolicy { streak, needed, first, heavy, waited, slow_until: Mutex::new(None) }
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
        if self.first == u32::MAX {
            return;
        }
        let needed = self.needed.load(Ordering::Relaxed);
        let expected = self.streak.load(Ordering::Relaxed) >= needed;
        if is_heavy && self.count_slow(took, now) && is_ready && expected {
            return;
        }
        match (is_ready && !is_heavy, expected) {
            (true, true) if needed == self.first => {}
            (true, _) => {
                let streak = self.streak.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                if streak == needed {
                    self.waited.store(false, Ordering::Relaxed);
                }
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
                    self.waited.store(!is_heavy, Ordering::Relaxed);
                    self.needed.store((4 * needed).min(INLINE_AFTER_MAX), Ordering::Relaxed);
                }
            }
        }
    }

    /// Counts a slow first poll that ended `now`. Returns whether it is short, and none before it counts any more.
    fn count_slow(&self, took: Duration, now: Instant) -> bool {
        let threads = Handle::try_current().map_or(1, |handle| handle.metrics().num_workers());
        let counted = (TOLERATED * took / threads.max(1) as u32).min(COUNTED_MAX);
        let mut slow_until = self.lock();
        let before = *slow_until;
        let from = before.map_or(now, |before| before.max(now));
        *slow_until = Some((from + counted).min(now + COUNTED_MAX));
        took <= TOLERATED_MAX && before.is_some_and(|before| before <= now - took)
    }

    /// Returns whether trust was lost because of slow first polls that no longer count.
    fn is_forgiven(&self, now: Instant) -> bool {
        let has_ended = self.lock().is_some_and(|until| until <= now);
        has_ended && !self.waited.load(Ordering::Relaxed)
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
    fn a_method_is_trusted_again_once_its_slow_polls_no_longer_count() {
        for (slow, first) in [(Duration::from_micros(400), 1), (Duration::from_millis(20), 2)] {
            let (policy, now) = slow_once(slow);
            // Those that follow add to the time.
            (1..first).for_each(|_| policy.record(true, slow, now));
            policy.needed.store(INLINE_AFTER_MAX, Ordering::Relaxed);
            policy.streak.store(0, Ordering::Relaxed);
            let end = now + 100 * slow * first;
            let record = |at, times| (0..times).for_each(|_| policy.record(true, QUICK, at));
            record(end - QUICK, 10 * CHECK_EVERY);
            assert!(!policy.is_quick());
            record(end, CHECK_EVERY - 1);
            assert!(!policy.is_quick());
            record(end, 1);
            assert!(policy.is_quick());
        }
    }

    #[test]
    fn long_polls_are_not_tolerated() {
        let long = TOLERATED_MAX + QUICK;
        let (policy, now) = slow_once(long);
        let later = now + Duration::from_secs(3600);
        (0..CHECK_EVERY).for_each(|_| policy.record(true, QUICK, later));
        assert!(policy.is_quick());
        policy.record(true, long, later);
        assert!(!policy.is_quick());
    }

    #[test]
    fn a_method_that_is_slow_most_of_the_time_is_not_trusted() {
        let (policy, mut now) = slow_once(Duration::from_micros(90));
        for call in 0..10_000 {
            now += Duration::from_millis(20);
            let took = if call % 10 == 0 { QUICK } else { Duration::from_micros(90) };
            policy.record(true, took, now);
            assert!(!policy.is_quick());
        }
    }

    #[test]
    fn a_method_that_waits_is_not_forgiven_because_of_a_slow_poll_before() {
        let (policy, now) = slow_once(Duration::from_micros(30));
        record_n(&policy, true, 4 * INLINE_AFTER);
        assert!(policy.is_quick());
        policy.record(false, QUICK, now);
        policy.needed.store(INLINE_AFTER_MAX, Ordering::Relaxed);
        let later = now + Duration::from_secs(3600);
        (0..10 * CHECK_EVERY).for_each(|_| policy.record(true, QUICK, later));
        assert!(!policy.is_quick());
    }

    /// The share of calls that would run inline, of 200,000 calls at 10,000 per second, with `slow` of these durations in
    /// turns.
    fn inline_share(slow: &[Duration], every: u32) -> (f64, f64) {
        let (policy, mut now) = (InlinePolicy::new(INLINE_AFTER), Instant::now());
        let [mut inline, mut longest_inline, mut longest] = [0.0; 3];
        let max = slow.iter().max().copied().unwrap_or_default();
        for call in 0..200_000 {
            now += Duration::from_micros(100);
            let is_slow = call % every == 0;
            let took = if is_slow { slow[(call / every) as usize % slow.len()] } else { QUICK };
            let is_inline = f64::from(u8::from(policy.is_quick()));
            inline += is_inline;
            if took == max && is_slow {
                longest += 1.0;
                longest_inline += is_inline;
            }
            now += took;
            policy.record(true, took, now);
        }
        (inline / 200_000.0, longest_inline / f64::max(longest, 1.0))
    }

    #[test]
    fn ticks_leave_calls_inline_and_long_polls_among_them_do_not_run_inline() {
        let (tick, long) = (Duration::from_micros(40), Duration::from_millis(20));
        let (inline, _) = inline_share(&[tick], 100);
        assert!(inline > 0.9, "{inline}");
        let mixed: Vec<_> = std::iter::once(long).chain([tick; 9]).collect();
        let (_, longest_inline) = inline_share(&mixed, 100);
        assert!(longest_inline < 0.02, "{longest_inline}");
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
