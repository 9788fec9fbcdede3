//! Limits the messages that peers can make this node send: renewals of its identity, and its members.

use std::time::Duration;

/// The minimum time between two renewals.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The time between two renewals after many in quick succession, for example because another live node
/// claims this node's address.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// Determines when this node may renew its identity next.
///
/// Each renewal is gossiped to all members. A peer that is faulty or has the same address can cause a
/// renewal with each datagram. A renewal that is not allowed yet is not lost, because the probe or sync
/// that requires it is repeated.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    next: Option<Duration>,
    interval: Duration,
}

impl Renewals {
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// Records a renewal. If it soon follows the previous one, the time until the next one doubles.
    pub(super) fn on_renewed(&mut self, now: Duration) {
        let is_frequent = self.next.is_some_and(|next| now < next + 4 * self.interval);
        let doubled = self.interval.saturating_mul(2).min(MAX_INTERVAL);
        self.interval = if is_frequent { doubled } else { MIN_INTERVAL };
        self.next = Some(now + self.interval);
    }
}

/// Limits the requests for members that this node answers. The answer is many times larger than the
/// request, and goes to the address that the request names.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    /// The start of the second in which `sent` answers were sent.
    since: Duration,
    sent: u32,
}

/// Upper bound on the answers per second. Each member asks one random other member every 30 s.
const MAX_FEEDS: u32 = 32;

impl Feeds {
    /// Returns whether a request may be answered, and counts it if so.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        if self.since + Duration::from_secs(1) <= now {
            *self = Feeds { since: now, sent: 0 };
        }
        self.sent += 1;
        self.sent <= MAX_FEEDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals_are_a_second_apart_and_more_the_longer_they_follow_each_other() {
        let secs = Duration::from_secs;
        let (mut renewals, mut at) = (Renewals::default(), Vec::new());
        for now in 0..200 {
            if renewals.is_due(secs(now)) {
                renewals.on_renewed(secs(now));
                at.push(now);
            }
        }
        assert_eq!(at, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
        renewals.on_renewed(secs(1_000));
        assert!(!renewals.is_due(Duration::from_millis(1_000_999)) && renewals.is_due(secs(1_001)));
    }

    #[test]
    fn the_answers_of_a_second_are_bounded() {
        let (mut feeds, ms) = (Feeds::default(), Duration::from_millis);
        let mut answered = |now| (0..100).filter(|_| feeds.take(ms(now))).count();
        assert_eq!([answered(1_500), answered(2_499), answered(2_500)], [32, 0, 32]);
    }
}
