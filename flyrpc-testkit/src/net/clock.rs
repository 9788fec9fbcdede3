//! A host's clock: how far it is from the network's own, and how much it drifts. It has no timers:
//! those are tokio's, and stay right.
//!
//! Clocks of programs are monotonic. So the network's own clock, which all are relative to, is set
//! ahead by as much as a host's is to be set back (`Core::set_clock`): that one then goes on from
//! where it is.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::faults::FaultId;

/// A rate in parts per million.
const MILLION: i128 = 1_000_000;

pub(super) struct Clock {
    /// Nanoseconds ahead, or behind if negative. They add up.
    skews: BTreeMap<FaultId, i128>,
    /// Parts per million fast, or slow if negative. They add up.
    drifts: BTreeMap<FaultId, i128>,
    /// The nanoseconds that drifts had come to at `since`.
    drifted: i128,
    since: Instant,
}

impl Clock {
    /// A clock that is right.
    pub(super) fn new(now: Instant) -> Self {
        Clock { skews: BTreeMap::new(), drifts: BTreeMap::new(), drifted: 0, since: now }
    }

    /// What it shows when the network's clock is `base` nanoseconds ahead of `now`.
    ///
    /// # Panics
    ///
    /// If the platform's clock cannot go that far.
    pub(super) fn read(&self, now: Instant, base: i128) -> Instant {
        let offset = base + self.offset(now);
        let by = duration(offset.unsigned_abs());
        let read = if offset < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        read.unwrap_or_else(|| {
            panic!("this platform's clock cannot be {by:?} off: choose a lesser skew or drift")
        })
    }

    /// Nanoseconds ahead of the network's clock.
    pub(super) fn offset(&self, now: Instant) -> i128 {
        self.skew() + self.drifted(now)
    }

    /// Nanoseconds ahead, without what it has drifted.
    pub(super) fn skew(&self) -> i128 {
        self.skews.values().sum()
    }

    /// Sets the clock: what skewed it before, and what it has drifted, is undone.
    pub(super) fn set(&mut self, fault: FaultId, nanos: i128, now: Instant) {
        self.skews.clear();
        self.drifted = 0;
        self.since = now;
        self.skews.insert(fault, nanos);
    }

    pub(super) fn shift(&mut self, fault: FaultId, nanos: i128) {
        self.skews.insert(fault, nanos);
    }

    /// Whether there was still something to undo.
    pub(super) fn shift_back(&mut self, fault: FaultId) -> bool {
        self.skews.remove(&fault).is_some()
    }

    /// Parts per million fast.
    pub(super) fn drift(&self) -> i128 {
        self.drifts.values().sum()
    }

    /// Drifts by so much and nothing else, from now on.
    ///
    /// # Panics
    ///
    /// If the clock would run backwards.
    pub(super) fn run_at(&mut self, fault: FaultId, parts_per_million: i64, now: Instant) {
        assert_forwards(parts_per_million.into());
        self.settle(now);
        self.drifts.clear();
        self.drifts.insert(fault, parts_per_million.into());
    }

    /// # Panics
    ///
    /// If the clock would run backwards.
    pub(super) fn drift_more(&mut self, fault: FaultId, parts_per_million: i64, now: Instant) {
        assert_forwards(self.drift() + i128::from(parts_per_million));
        self.settle(now);
        self.drifts.insert(fault, parts_per_million.into());
    }

    /// Whether there was still something to undo.
    pub(super) fn drift_less(&mut self, fault: FaultId, now: Instant) -> bool {
        self.settle(now);
        self.drifts.remove(&fault).is_some()
    }

    fn settle(&mut self, now: Instant) {
        self.drifted = self.drifted(now);
        self.since = now;
    }

    fn drifted(&self, now: Instant) -> i128 {
        let elapsed = now.saturating_duration_since(self.since).as_nanos() as i128;
        self.drifted + elapsed * self.drift() / MILLION
    }
}

fn assert_forwards(parts_per_million: i128) {
    assert!(
        parts_per_million >= -MILLION,
        "a clock that drifts by {parts_per_million} parts per million runs backwards: \
         -1000000 stops it"
    );
}

/// `by` in nanoseconds, as a clock counts its skew.
pub(super) fn nanos(by: Duration) -> i128 {
    // The longest duration has less than 95 bits of nanoseconds.
    by.as_nanos() as i128
}

/// The longest duration there is for more nanoseconds than that has.
pub(super) fn duration(nanos: u128) -> Duration {
    let whole = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Duration::new(whole, (nanos % 1_000_000_000) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn check(clock: &Clock, now: Instant, ahead_by: i128) {
        let read = clock.read(now, 0);
        let ahead = nanos(read.saturating_duration_since(now));
        assert_eq!(ahead - nanos(now.saturating_duration_since(read)), ahead_by);
    }

    #[test]
    fn a_change_of_rate_keeps_the_offset_reached() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.run_at(FaultId(1), 100, start);
        check(&clock, start + HOUR, 360_000_000);
        clock.run_at(FaultId(2), -100, start + HOUR);
        check(&clock, start + HOUR, 360_000_000);
        check(&clock, start + 3 * HOUR, -360_000_000);
        clock.run_at(FaultId(3), 0, start + 3 * HOUR);
        check(&clock, start + 9 * HOUR, -360_000_000);
    }

    #[test]
    fn skews_and_drifts_add_up_and_end_in_any_order() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.shift(FaultId(1), 5);
        clock.shift(FaultId(2), -30);
        clock.drift_more(FaultId(3), 1_000, start);
        clock.drift_more(FaultId(4), -2_000, start);
        check(&clock, start + HOUR, -25 - 3_600_000_000);
        assert!(clock.shift_back(FaultId(1)));
        assert!(clock.drift_less(FaultId(3), start + HOUR));
        check(&clock, start + 2 * HOUR, -30 - 10_800_000_000);
    }

    #[test]
    fn setting_a_clock_undoes_what_it_has_drifted() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.shift(FaultId(1), 5);
        clock.drift_more(FaultId(2), 1_000, start);
        clock.set(FaultId(3), 7, start + HOUR);
        check(&clock, start + HOUR, 7);
        check(&clock, start + 2 * HOUR, 3_600_000_007);
        assert!(!clock.shift_back(FaultId(1)), "it was undone");
    }

    #[test]
    #[should_panic(expected = "runs backwards: -1000000 stops it")]
    fn a_clock_does_not_run_backwards() {
        Clock::new(Instant::now()).drift_more(FaultId(1), -1_000_001, Instant::now());
    }
}
