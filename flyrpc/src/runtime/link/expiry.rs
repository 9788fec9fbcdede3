//! The timer of the requests that expire before they start.

use std::{future::pending, pin::Pin, time::Duration};

use tokio::time::Sleep;

/// Upper bound on the time until the timer fires and checks again. It is longer than any call, and short
/// enough for any timer.
const MAX_SLEEP: Duration = Duration::from_secs(24 * 3600);

/// Fires when the next request expires. Times are in microseconds on the link's clock.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// Present while the timer is scheduled. Most links never need it.
    timer: Option<(u64, Pin<Box<Sleep>>)>,
}

impl Expiry {
    /// Schedules the timer for `deadline`, or cancels it if there is none.
    pub(super) fn schedule(&mut self, now: u64, deadline: Option<u64>) {
        self.timer = deadline.map(|deadline| {
            let sleep = Duration::from_micros(deadline.saturating_sub(now)).min(MAX_SLEEP);
            (deadline, Box::pin(tokio::time::sleep(sleep)))
        });
    }

    /// Schedules the timer for `deadline`, if that is earlier than the time for which it is scheduled.
    pub(super) fn schedule_by(&mut self, now: u64, deadline: u64) {
        if self.timer.as_ref().is_none_or(|(scheduled, _)| deadline < *scheduled) {
            self.schedule(now, Some(deadline));
        }
    }

    /// Waits until the timer fires. The timer must be scheduled again afterward. Dropping the future has
    /// no effect.
    pub(super) async fn due(&mut self) {
        match &mut self.timer {
            Some((_, timer)) => timer.await,
            None => pending().await,
        }
    }
}
