//! A host's clock: its offset from the network's clock, and its drift. Timers are tokio's, and are not
//! affected.
//!
//! Clocks of programs are monotonic. To set a host's clock back, `Fabric::update_clock` therefore sets
//! the network's clock ahead by the same amount. All hosts' clocks are relative to the network's clock,
//! so all other clocks move ahead, and this host's clock continues without a step.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::ids::FaultId;

const PARTS_PER_MILLION: i128 = 1_000_000;

pub(crate) struct Clock {
    /// Nanoseconds ahead, or behind if negative. Skews add up.
    skews: BTreeMap<FaultId, i128>,
    /// Parts per million fast, or slow if negative. Drifts add up.
    drifts: BTreeMap<FaultId, i128>,
    /// The nanoseconds that drifts had accumulated by `drift_since`.
    drifted: i128,
    drift_since: Instant,
}

impl Clock {
    /// Creates a clock without skew or drift.
    pub(crate) fn new(now: Instant) -> Self {
        Clock { skews: BTreeMap::new(), drifts: BTreeMap::new(), drifted: 0, drift_since: now }
    }

    /// Returns the time on this clock when the network's clock is `base` nanoseconds ahead of `now`.
    ///
    /// # Panics
    ///
    /// If the platform's `Instant` cannot represent that time.
    pub(crate) fn read(&self, now: Instant, base: i128) -> Instant {
        let offset = base + self.offset(now);
        let by = duration(offset.unsigned_abs());
        let read = if offset < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        read.unwrap_or_else(|| {
            panic!(
                "this platform cannot represent a clock offset of {by:?}: \
                 use a smaller skew or drift"
            )
        })
    }

    /// Returns how many nanoseconds this clock is ahead of the network's clock.
    pub(crate) fn offset(&self, now: Instant) -> i128 {
        self.skew() + self.drifted(now)
    }

    /// Returns how many nanoseconds this clock is ahead, excluding accumulated drift.
    pub(crate) fn skew(&self) -> i128 {
        self.skews.values().sum()
    }

    /// Sets the clock. Replaces all skews and the accumulated drift.
    pub(crate) fn set_skew(&mut self, fault: FaultId, nanos: i128, now: Instant) {
        self.skews.clear();
        self.drifted = 0;
        self.drift_since = now;
        self.skews.insert(fault, nanos);
    }

    pub(crate) fn add_skew(&mut self, fault: FaultId, nanos: i128) {
        self.skews.insert(fault, nanos);
    }

    /// Ends a skew. Returns false if it had already ended.
    pub(crate) fn remove_skew(&mut self, fault: FaultId) -> bool {
        self.skews.remove(&fault).is_some()
    }

    /// Returns how many parts per million this clock is fast.
    pub(crate) fn drift(&self) -> i128 {
        self.drifts.values().sum()
    }

    /// Replaces all drifts from now on.
    ///
    /// # Panics
    ///
    /// If the clock would run backward.
    pub(crate) fn set_drift(&mut self, fault: FaultId, parts_per_million: i64, now: Instant) {
        assert_forwards(parts_per_million.into());
        self.accumulate_drift(now);
        self.drifts.clear();
        self.drifts.insert(fault, parts_per_million.into());
    }

    /// # Panics
    ///
    /// If the clock would run backward.
    pub(crate) fn add_drift(&mut self, fault: FaultId, parts_per_million: i64, now: Instant) {
        assert_forwards(self.drift() + i128::from(parts_per_million));
        self.accumulate_drift(now);
        self.drifts.insert(fault, parts_per_million.into());
    }

    /// Ends a drift. Returns false if it had already ended.
    pub(crate) fn remove_drift(&mut self, fault: FaultId, now: Instant) -> bool {
        self.accumulate_drift(now);
        self.drifts.remove(&fault).is_some()
    }

    fn accumulate_drift(&mut self, now: Instant) {
        self.drifted = self.drifted(now);
        self.drift_since = now;
    }

    fn drifted(&self, now: Instant) -> i128 {
        let elapsed = now.saturating_duration_since(self.drift_since).as_nanos() as i128;
        self.drifted + elapsed * self.drift() / PARTS_PER_MILLION
    }
}

/// # Panics
///
/// If a clock with this drift would run backward.
#[track_caller]
pub(crate) fn assert_forwards(parts_per_million: i128) {
    assert!(
        parts_per_million >= -PARTS_PER_MILLION,
        "a clock that drifts by {parts_per_million} parts per million runs backward: \
         -1000000 stops it"
    );
}

/// Converts `by` to nanoseconds, the unit of skews.
pub(crate) fn nanos(by: Duration) -> i128 {
    // The longest duration has fewer than 95 bits of nanoseconds.
    by.as_nanos() as i128
}

/// Converts nanoseconds to a duration. Saturates at the longest duration.
pub(crate) fn duration(nanos: u128) -> Duration {
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
    fn a_change_of_rate_keeps_the_accumulated_offset() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.set_drift(FaultId(1), 100, start);
        check(&clock, start + HOUR, 360_000_000);
        clock.set_drift(FaultId(2), -100, start + HOUR);
        check(&clock, start + HOUR, 360_000_000);
        check(&clock, start + 3 * HOUR, -360_000_000);
        clock.set_drift(FaultId(3), 0, start + 3 * HOUR);
        check(&clock, start + 9 * HOUR, -360_000_000);
    }

    #[test]
    fn skews_and_drifts_add_up_and_end_in_any_order() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.add_skew(FaultId(1), 5);
        clock.add_skew(FaultId(2), -30);
        clock.add_drift(FaultId(3), 1_000, start);
        clock.add_drift(FaultId(4), -2_000, start);
        check(&clock, start + HOUR, -25 - 3_600_000_000);
        assert!(clock.remove_skew(FaultId(1)));
        assert!(clock.remove_drift(FaultId(3), start + HOUR));
        check(&clock, start + 2 * HOUR, -30 - 10_800_000_000);
    }

    #[test]
    fn setting_a_clock_discards_the_accumulated_drift() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.add_skew(FaultId(1), 5);
        clock.add_drift(FaultId(2), 1_000, start);
        clock.set_skew(FaultId(3), 7, start + HOUR);
        check(&clock, start + HOUR, 7);
        check(&clock, start + 2 * HOUR, 3_600_000_007);
        assert!(!clock.remove_skew(FaultId(1)), "it was replaced");
    }

    #[test]
    #[should_panic(expected = "runs backward: -1000000 stops it")]
    fn a_clock_does_not_run_backward() {
        Clock::new(Instant::now()).add_drift(FaultId(1), -1_000_001, Instant::now());
    }
}
