//! The link's clock, which determines whether a request's deadline on its caller's clock has passed.
//!
//! Two nodes' clocks differ by an unknown offset, and either node, or the machine under it, may be
//! suspended for a while. The serving end pings at its time r₀; the pong carries s, the time on the
//! caller's clock. Since the pong was written after the ping, U = min(s − r₀) over the last pongs is
//! never below the offset between the clocks. U exceeds the offset by at most the fastest path from the
//! serving end to the caller.
//!
//! A request whose deadline on the caller's clock is d therefore has time left if now + U < d, and a
//! call that its caller has given up never starts. (A midpoint offset, as in NTP, would let some of
//! those calls start.)
//!
//! All times are in microseconds, each on the clock of one of the two ends.

use std::collections::VecDeque;

/// The number of last pongs from which U is computed.
const SAMPLES: usize = 8;

/// This end's estimate of the other end's clock.
#[derive(Debug)]
pub(crate) struct LinkClock {
    heartbeat: u64,
    samples: VecDeque<Sample>,
    /// When the latest ping whose pong has arrived was sent.
    answered: Option<u64>,
    /// Pongs to pings sent before this time are ignored, because this end's clock may have been stopped
    /// since then.
    forgotten: u64,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    /// s − r₀
    ahead: i64,
    round_trip: u64,
}

/// Whether a request may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The request may start, and must end within this time.
    Start { remaining: u64 },
    /// The deadline has passed, so the caller has given up.
    Expired,
    /// The offset between the clocks is not known well enough. Send a ping, and ask again after a pong.
    Hold,
    /// The same as `Hold`, because the request's timestamp is ahead of our clock, which must have been
    /// stopped.
    Ahead,
}

impl LinkClock {
    /// Creates a clock without samples. `heartbeat` is the time between pings.
    pub(crate) fn new(heartbeat: u64) -> Self {
        let samples = VecDeque::with_capacity(SAMPLES);
        LinkClock { heartbeat, samples, answered: None, forgotten: 0 }
    }

    /// Handles a pong that arrived at `now`, in response to the ping sent at `echo`. It carries `stamp`,
    /// the time on the other end's clock. Values that no correct peer sends are ignored.
    pub(crate) fn pong(&mut self, now: u64, echo: u64, stamp: u64) {
        let (Ok(stamp), Ok(sent)) = (i64::try_from(stamp), i64::try_from(echo)) else { return };
        let Some(round_trip) = now.checked_sub(echo) else { return };
        self.observe(now, stamp.unsigned_abs());
        if echo < self.forgotten {
            return;
        }
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { ahead: stamp - sent, round_trip });
        self.answered = self.answered.max(Some(echo));
    }

    /// Handles a time `stamp` on the other end's clock, in a frame that arrived at `now`. Returns
    /// whether the samples allow it. If not, our clock was stopped, and all samples are discarded.
    pub(crate) fn observe(&mut self, now: u64, stamp: u64) -> bool {
        let known = self
            .ahead()
            .is_none_or(|ahead| i128::from(stamp) <= i128::from(now) + i128::from(ahead));
        if !known {
            self.samples.clear();
            self.answered = None;
            self.forgotten = now;
        }
        known
    }

    /// Decides whether a request may start at `now`. Its caller sent it at `stamp`, and gives up
    /// `timeout` later.
    pub(crate) fn verdict(&mut self, now: u64, stamp: u64, timeout: u64) -> Verdict {
        let Some(ahead) = self.ahead() else { return Verdict::Hold };
        if !self.observe(now, stamp) {
            return Verdict::Ahead;
        }
        let theirs = i128::from(now) + i128::from(ahead);
        if !self.is_fresh(now) {
            return Verdict::Hold;
        }
        let left = i128::from(stamp) + i128::from(timeout) - theirs;
        match u64::try_from(left) {
            Ok(remaining) if remaining > 0 => Verdict::Start { remaining },
            _ => Verdict::Expired,
        }
    }

    /// Returns U, the upper bound on how far the other end's clock is ahead.
    fn ahead(&self) -> Option<i64> {
        self.samples.iter().map(|sample| sample.ahead).min()
    }

    /// Returns whether the latest ping whose pong has arrived is recent: at most as old as 2 heartbeats
    /// plus twice the shortest round trip among the last pongs.
    fn is_fresh(&self, now: u64) -> bool {
        let round_trip = self.samples.iter().map(|sample| sample.round_trip).min().unwrap_or(0);
        let max_pong_age = 2 * self.heartbeat + 2 * round_trip;
        self.answered.is_some_and(|sent| now.saturating_sub(sent) <= max_pong_age)
    }

    /// Returns the shortest round trip among the last pongs.
    pub(crate) fn round_trip(&self) -> Option<u64> {
        self.samples.iter().map(|sample| sample.round_trip).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: u64 = 1_000_000;
    /// How far the caller's clock is ahead, in microseconds.
    const OFFSET: u64 = 7_000_000;

    /// Returns a clock after a ping at `sent` and its pong, with a delay of 30 ms each way.
    fn synced(sent: u64) -> LinkClock {
        let mut clock = LinkClock::new(HEARTBEAT);
        clock.pong(sent + 60_000, sent, sent + 30_000 + OFFSET);
        clock
    }

    #[track_caller]
    fn check(clock: &mut LinkClock, now: u64, stamp: u64, timeout: u64, expected: Verdict) {
        assert_eq!(clock.verdict(now, stamp, timeout), expected);
    }

    #[test]
    fn requests_are_held_until_the_first_pong() {
        check(&mut LinkClock::new(HEARTBEAT), 5, 5, 1_000_000, Verdict::Hold);
    }

    #[test]
    fn the_time_left_is_underestimated_by_at_most_the_return_path() {
        // The request was sent 10 ms after the pong, and arrives 30 ms later.
        let (now, stamp) = (1_070_000, 1_040_000 + OFFSET);
        let remaining = 200_000 - 30_000 - 30_000;
        check(&mut synced(1_000_000), now, stamp, 200_000, Verdict::Start { remaining });
    }

    #[test]
    fn a_request_that_the_caller_has_given_up_does_not_start() {
        let stamp = 1_040_000 + OFFSET;
        check(&mut synced(1_000_000), 1_070_000, stamp, 60_000, Verdict::Expired);
        check(&mut synced(1_000_000), 1_070_000, stamp, 0, Verdict::Expired);
    }

    #[test]
    fn requests_are_held_when_no_recent_ping_was_answered() {
        let thawed = 1_000_000 + 2 * HEARTBEAT + 120_001;
        check(&mut synced(1_000_000), thawed, 1_040_000 + OFFSET, u64::MAX, Verdict::Hold);
        let mut clock = synced(1_000_000);
        // A pong to an old ping, read late, proves nothing.
        clock.pong(thawed + 9_000_000, 1_500_000, 1_530_000 + OFFSET);
        check(&mut clock, thawed + 9_000_000, 1_540_000 + OFFSET, u64::MAX, Verdict::Hold);
    }

    #[test]
    fn a_timestamp_ahead_of_our_clock_shows_that_it_was_stopped() {
        let mut clock = synced(1_000_000);
        check(&mut clock, 1_100_000, 60_000_000 + OFFSET, 1_000_000, Verdict::Ahead);
        // Later requests are held too, regardless of their stamp, until a new pong.
        check(&mut clock, 1_100_000, 1_050_000 + OFFSET, 1_000_000, Verdict::Hold);
        clock.pong(1_260_000, 1_200_000, 60_130_000 + OFFSET);
        let remaining = 1_000_000 - 60_000;
        let stamp = 60_130_000 + OFFSET;
        check(&mut clock, 1_260_000, stamp, 1_000_000, Verdict::Start { remaining });
    }

    #[test]
    fn pongs_to_pings_from_before_our_clock_was_stopped_are_ignored() {
        let stamp = 60_000_000 + OFFSET;
        let mut clock = synced(1_000_000);
        check(&mut clock, 1_100_000, stamp, 1_000_000, Verdict::Ahead);
        // This pong was sent long before the request, and stayed unread while our clock was stopped.
        clock.pong(1_100_000, 1_090_000, 1_120_000 + OFFSET);
        check(&mut clock, 1_100_000, 1_050_000 + OFFSET, 1_000_000, Verdict::Hold);
    }

    #[test]
    fn every_timestamp_can_show_that_our_clock_was_stopped() {
        let mut clock = synced(1_000_000);
        assert!(clock.observe(1_100_000, 1_100_000 + OFFSET));
        assert!(!clock.observe(1_100_000, 1_200_000 + OFFSET));
        check(&mut clock, 1_100_000, 1_050_000 + OFFSET, 1_000_000, Verdict::Hold);
        let mut clock = synced(1_000_000);
        clock.pong(1_160_000, 1_100_000, 9_130_000 + OFFSET);
        check(&mut clock, 1_160_000, 1_050_000 + OFFSET, 1_000_000, Verdict::Hold);
    }

    #[test]
    fn absurd_numbers_from_the_peer_are_harmless() {
        let mut clock = synced(1_000_000);
        clock.pong(2_000_000, u64::MAX, u64::MAX);
        clock.pong(2_000_000, 3_000_000, 0);
        let verdict = clock.verdict(1_100_000, 1_040_000 + OFFSET, u64::MAX);
        assert!(matches!(verdict, Verdict::Start { .. }));
        check(&mut clock, 1_100_000, u64::MAX, u64::MAX, Verdict::Ahead);
    }
}
