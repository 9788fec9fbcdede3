//! The membership's clock, which stops while the node stalls.

use std::time::Duration;

/// The node's time, excluding the time for which it was stalled: frozen, suspended or starved of
/// CPU.
///
/// Otherwise, a node that resumes would mistake its own silence for silence of the members. It
/// would suspect all of them before it had read the datagrams that arrived in the meantime.
#[derive(Debug)]
pub(super) struct Clock {
    now: Duration,
    stalled: Duration,
}

impl Clock {
    pub(super) fn new(now: Duration) -> Self {
        Clock { now, stalled: Duration::ZERO }
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// Advances to `now`, in the caller's time. If the timer due at `next_due` is overdue by more
    /// than `tolerance`, the node has stalled, and the clock skips the overdue time.
    pub(super) fn advance(
        &mut self,
        now: Duration,
        next_due: Option<Duration>,
        tolerance: Duration,
    ) {
        let now = now.saturating_sub(self.stalled);
        let late = next_due.map_or(Duration::ZERO, |due| now.saturating_sub(due));
        let stall = if late > tolerance { late } else { Duration::ZERO };
        self.stalled += stall;
        self.now = self.now.max(now - stall);
    }

    /// Translates a time on this clock to the caller's time.
    pub(super) fn to_caller(&self, at: Duration) -> Duration {
        at + self.stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_overdue_timer_stops_the_clock_for_as_long_as_it_is_overdue() {
        let mut clock = Clock::new(ms(100));
        clock.advance(ms(1_700), Some(ms(1_000)), ms(700));
        assert_eq!((clock.now(), clock.to_caller(ms(2_000))), (ms(1_700), ms(2_000)));
        clock.advance(ms(9_000), Some(ms(2_000)), ms(700));
        assert_eq!((clock.now(), clock.to_caller(ms(2_000))), (ms(2_000), ms(9_000)));
        clock.advance(ms(9_500), None, ms(700));
        assert_eq!(clock.now(), ms(2_500));
    }

    #[test]
    fn the_clock_never_goes_backward() {
        let mut clock = Clock::new(ms(100));
        clock.advance(ms(50), None, ms(700));
        assert_eq!(clock.now(), ms(100));
    }
}
