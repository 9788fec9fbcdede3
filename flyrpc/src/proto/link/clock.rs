//! The link's clock, which determines whether a request's deadline on its caller's clock has passed.
//!
//! Two nodes' clocks differ by an unknown offset, and either node, or the machine under it, may be
//! suspended for a while. The serving end pings at its time r₀; the pong carries s, the time on the
//! caller's clock. Since the pong was written after the ping, U = min(s − r₀) over the last pongs is
//! never below the offset between the clocks. U exceeds the offset by at most the fastest path from the
//! serving end to the caller.
//!
//! A request whose deadline on the caller's clock is d therefore has time left if now + U < d. A call
//! that its caller has given up never starts. (A midpoint offset, as in NTP, would let some of those
//! calls start.)
//!
//! U says nothing about cancellations, which take as long to arrive as requests do. Each frame with a
//! stamp s proves that everything sent before s has been read. This end's knowledge is therefore at most
//! as old as the lag, now + U − s for the latest stamp. A request starts while the lag is ordinary: a
//! few heartbeats plus the current round trip of the path. On a path that became slow, every frame takes
//! that long, so waiting gains nothing. After a path that stalled, the latest stamp soon becomes recent
//! again. If this end itself did not read for a while, the data that it reads next is old, however fast
//! the path is. Requests are then held until a ping sent after the stall is answered.
//!
//! All times are in microseconds, each on the clock of one of the two ends.

use std::collections::VecDeque;

/// The number of last pongs from which U is computed.
const SAMPLES: usize = 8;

/// Upper bound on the lag in heartbeats, in addition to the round trip of the path. A link ends after 5
/// heartbeats without a byte.
const MAX_LAG_HEARTBEATS: u64 = 4;

/// If the reader's last step was this many heartbeats ago, this end has not read in between. While the
/// reader runs, it takes at least one step per heartbeat.
const STALL_HEARTBEATS: u64 = 2;

/// Pongs that arrived within this many heartbeats measure the current round trip of the path.
const RECENT_HEARTBEATS: u64 = 2;

/// This end's estimate of the other end's clock.
#[derive(Debug)]
pub(crate) struct LinkClock {
    heartbeat: u64,
    samples: VecDeque<Sample>,
    /// U, the upper bound on the offset of the other end's clock from this end's.
    ahead: Option<i64>,
    /// The time at which the latest answered ping was sent.
    answered: Option<u64>,
    /// The latest time on the other end's clock that a frame carried.
    latest_stamp: u64,
    /// When the reader last took a step.
    last_step: Option<u64>,
    /// When this end last resumed reading after a stall. Pongs to earlier pings do not measure the path.
    stalled_until: u64,
    /// Pongs to pings sent before this time are ignored, because this end's clock may have been stopped
    /// since then.
    forgotten: u64,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    /// r₀
    sent: u64,
    arrived: u64,
    /// s − r₀
    ahead: i64,
}

impl Sample {
    fn round_trip(&self) -> u64 {
        self.arrived - self.sent
    }
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
        LinkClock {
            heartbeat,
            samples,
            ahead: None,
            answered: None,
            latest_stamp: 0,
            last_step: None,
            stalled_until: 0,
            forgotten: 0,
        }
    }

    /// Records that the reader takes a step at `now`. Must be called at each heartbeat.
    pub(crate) fn step(&mut self, now: u64) {
        let last = self.last_step.replace(now).unwrap_or(now);
        if now.saturating_sub(last) > STALL_HEARTBEATS * self.heartbeat {
            self.stalled_until = now;
        }
    }

    /// Handles a pong that arrived at `now`, in response to the ping sent at `echo`. It carries `stamp`,
    /// the time on the other end's clock. Values that no correct peer sends are ignored.
    pub(crate) fn pong(&mut self, now: u64, echo: u64, stamp: u64) {
        let (Ok(stamp), Ok(sent)) = (i64::try_from(stamp), i64::try_from(echo)) else { return };
        if echo > now {
            return;
        }
        self.observe(now, stamp.unsigned_abs());
        if echo < self.forgotten {
            return;
        }
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { sent: echo, arrived: now, ahead: stamp - sent });
        self.ahead = self.samples.iter().map(|sample| sample.ahead).min();
        self.answered = self.answered.max(Some(echo));
    }

    /// Handles a time `stamp` on the other end's clock, in a frame that arrived at `now`. Returns
    /// whether the samples allow it. If not, our clock was stopped, and all samples are discarded.
    pub(crate) fn observe(&mut self, now: u64, stamp: u64) -> bool {
        self.step(now);
        self.latest_stamp = self.latest_stamp.max(stamp);
        let known = self.ahead.is_none_or(|ahead| !is_later(stamp, now, ahead));
        if !known {
            self.samples.clear();
            self.ahead = None;
            self.answered = None;
            self.forgotten = now;
        }
        known
    }

    /// Decides whether a request may start at `now`. Its caller sent it at `stamp`, and gives up
    /// `timeout` later. The reader must have taken its step at `now`, and observed the latest stamp.
    #[inline]
    pub(crate) fn verdict(&mut self, now: u64, stamp: u64, timeout: u64) -> Verdict {
        let Some(ahead) = self.ahead else { return Verdict::Hold };
        if is_later(stamp, now, ahead) {
            self.observe(now, stamp);
            return Verdict::Ahead;
        }
        let theirs = i128::from(now) + i128::from(ahead);
        let lag = theirs - i128::from(self.latest_stamp);
        let max_lag = MAX_LAG_HEARTBEATS * self.heartbeat;
        let is_old = lag > i128::from(max_lag) && lag > i128::from(max_lag + 2 * self.path(now));
        if is_old || self.answered < Some(self.stalled_until) {
            return Verdict::Hold;
        }
        let left = i128::from(stamp) + i128::from(timeout) - theirs;
        match u64::try_from(left) {
            Ok(remaining) if remaining > 0 => Verdict::Start { remaining },
            _ => Verdict::Expired,
        }
    }

    /// Returns the current round trip of the path.
    fn path(&self, now: u64) -> u64 {
        let since = now.saturating_sub(RECENT_HEARTBEATS * self.heartbeat);
        let mut usable = self.samples.iter().filter(|sample| sample.sent >= self.stalled_until);
        let recent = usable.clone().filter(|sample| sample.arrived >= since);
        let path = recent.map(Sample::round_trip).min();
        path.or_else(|| usable.next_back().map(Sample::round_trip)).unwrap_or(0)
    }

    /// Returns the shortest round trip among the last pongs.
    pub(crate) fn round_trip(&self) -> Option<u64> {
        self.samples.iter().map(Sample::round_trip).min()
    }
}

/// Returns whether `stamp` is later than the other end's clock can be at `now`.
fn is_later(stamp: u64, now: u64, ahead: i64) -> bool {
    i128::from(stamp) > i128::from(now) + i128::from(ahead)
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
        clock.step(now);
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

    /// Takes a step of the clock at each heartbeat from `from` to `to`.
    fn idle(clock: &mut LinkClock, from: u64, to: u64) {
        (from..=to).step_by(HEARTBEAT as usize).for_each(|now| clock.step(now));
    }

    #[test]
    fn requests_that_were_read_late_are_held_until_a_later_ping_was_answered() {
        // This end did not read for 10 s. The offset is still right.
        let thawed = 11_060_000;
        let mut clock = synced(1_000_000);
        check(&mut clock, thawed, 1_040_000 + OFFSET, u64::MAX, Verdict::Hold);
        // A pong to an earlier ping, read late, proves nothing.
        clock.pong(thawed, 1_500_000, 1_530_000 + OFFSET);
        check(&mut clock, thawed, 1_540_000 + OFFSET, u64::MAX, Verdict::Hold);
        clock.pong(thawed + 60_000, thawed, thawed + 30_000 + OFFSET);
        let verdict = clock.verdict(thawed + 60_000, 1_540_000 + OFFSET, u64::MAX);
        assert!(matches!(verdict, Verdict::Start { .. }), "{verdict:?}");
    }

    #[test]
    fn requests_from_before_a_stall_of_the_path_are_held_until_something_recent_was_read() {
        let mut clock = synced(1_000_000);
        let now = 1_060_000 + 4 * HEARTBEAT + 200_000;
        idle(&mut clock, 1_060_000, now);
        check(&mut clock, now, 1_050_000 + OFFSET, u64::MAX, Verdict::Hold);
        clock.pong(now, now - 60_000, now - 30_000 + OFFSET);
        let verdict = clock.verdict(now, 1_050_000 + OFFSET, u64::MAX);
        assert!(matches!(verdict, Verdict::Start { .. }), "{verdict:?}");
    }

    /// Simulates a jump of the round trip from 60 ms to that much more, with a request every 100 ms.
    /// Returns the longest time for which a request is held.
    fn longest_hold(there: u64, back: u64) -> u64 {
        const STEP: u64 = 100_000;
        const HOUR: u64 = 3_600_000_000;
        let mut clock = LinkClock::new(HEARTBEAT);
        // Arrivals of pings and pongs at this end: when, and what they carry.
        let mut frames: Vec<(u64, Option<u64>, u64)> = Vec::new();
        let jump_at = 20_000_000;
        let delay = |at: u64, by: u64| if at >= jump_at { 30_000 + by } else { 30_000 };
        for beat in (0..60_000_000).step_by(HEARTBEAT as usize) {
            let answered = beat + delay(beat, back);
            frames.push((answered + delay(answered, there), Some(beat), answered + OFFSET));
            frames.push((beat + delay(beat, there), None, beat + OFFSET));
            frames.push((beat, None, 0));
        }
        for sent in (5_000_000..55_000_000).step_by(STEP as usize) {
            frames.push((sent + delay(sent, there), None, sent + OFFSET));
        }
        frames.sort_unstable();
        let (mut held, mut longest) = (Vec::new(), 0);
        for (now, echo, stamp) in frames {
            match echo {
                Some(echo) => clock.pong(now, echo, stamp),
                None => drop(clock.observe(now, stamp)),
            }
            if stamp >= 5_000_000 + OFFSET {
                held.push((now, stamp));
            }
            held.retain(|&(since, stamp)| match clock.verdict(now, stamp, HOUR) {
                Verdict::Start { .. } => {
                    longest = longest.max(now - since);
                    false
                }
                verdict => {
                    assert_eq!(verdict, Verdict::Hold);
                    true
                }
            });
        }
        longest
    }

    #[test]
    fn a_jump_of_the_round_trip_holds_no_request() {
        for (there, back) in [(1_500_000, 1_500_000), (3_000_000, 0), (0, 3_000_000)] {
            assert_eq!(longest_hold(there, back), 0, "{there} there, {back} back");
        }
    }

    #[test]
    fn a_larger_jump_holds_requests_until_the_first_slow_pong() {
        let held = longest_hold(10_000_000, 0);
        assert!(held <= HEARTBEAT, "{held}");
        let held = longest_hold(6_000_000, 6_000_000);
        assert!(held <= 6_060_000 + HEARTBEAT, "{held}");
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
