//! When to dial an address, and what a failed attempt reveals about it.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::{
    proto::routing::jittered,
    runtime::link::DialError,
    types::{NoSupport, NodeId},
};

/// The initial backoff between two attempts to dial. Each failure doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);

/// The maximum backoff if nothing responds. It is short, because an attempt costs almost nothing, and a
/// node that starts at the address should be linked soon.
const MAX_BACKOFF_UNREACHABLE: Duration = Duration::from_secs(5);

/// The maximum backoff if something other than a node of this cluster responds. It is longer,
/// because the other program may log each attempt.
const MAX_BACKOFF_UNSUPPORTED: Duration = Duration::from_secs(15);

/// A link that was open for this long does not count as a failure when it ends.
const MIN_STABLE_LINK_AGE: Duration = Duration::from_secs(5);

/// Readiness stops waiting for an address this long after the first attempt to dial it.
const READINESS_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the node with the greater id waits for the other node to dial first. One of the two
/// must dial; if both did at the same time, they would open a redundant link.
pub(super) const DIAL_TIEBREAK_DELAY: Duration = Duration::from_secs(1);

/// Whether an address that led to a node with another address may lead to other nodes, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Balancing {
    /// The address has led to one node so far, as a forwarded port does.
    Possible,
    /// The address has led to several nodes, or to this node, as a load balancer does.
    Observed,
}

/// Returns the time after which an address that led to a single node is dialed again. Without this,
/// nodes that found each other in pairs would stay in pairs. Such attempts are rare, because each of
/// them may replace the link to a node with a new one. `random` determines the jitter.
pub(super) fn ask_interval(balancing: Balancing, random: u64) -> Duration {
    let interval = match balancing {
        Balancing::Possible => Duration::from_secs(5 * 60),
        Balancing::Observed => Duration::from_secs(60),
    };
    jittered(interval, random)
}

/// Returns how long `local` waits before it dials `peer`.
pub(super) fn tiebreak_delay(local: &NodeId, peer: &NodeId) -> Duration {
    if local < peer { Duration::ZERO } else { DIAL_TIEBREAK_DELAY }
}

/// The schedule of the attempts to dial one address: whether one is in progress, and when the next
/// one is due.
#[derive(Debug, Default)]
pub(super) struct DialSchedule {
    /// When the address was dialed for the first time.
    first: Option<Duration>,
    in_progress: bool,
    /// Whether the schedule was reset since the attempt in progress began.
    is_outdated: bool,
    /// The number of consecutive failed attempts since a link was last open.
    failures: u32,
    /// The number of consecutive links that did not last.
    unstable_links: u32,
    next: Duration,
    /// Notified when the attempt in progress ends, or the next one if none is in progress.
    waiters: Vec<oneshot::Sender<bool>>,
}

impl DialSchedule {
    /// Returns when to dial next, unless an attempt is in progress.
    pub(super) fn next(&self) -> Option<Duration> {
        (!self.in_progress).then_some(self.next)
    }

    /// Returns whether a call may start an attempt, or wait for the one in progress. After a failed
    /// attempt or several links that did not last, attempts follow the backoff, regardless of the number
    /// of calls.
    pub(super) fn is_open_to_calls(&self) -> bool {
        self.failures == 0 && self.unstable_links <= 1
    }

    /// Records that either end opened a link.
    pub(super) fn on_linked(&mut self) {
        self.failures = 0;
    }

    /// Starts an attempt. Returns false if one is in progress.
    pub(super) fn begin(&mut self, now: Duration) -> bool {
        self.first.get_or_insert(now);
        !std::mem::replace(&mut self.in_progress, true)
    }

    /// Ends the attempt in progress.
    pub(super) fn end(&mut self) {
        self.in_progress = false;
        self.is_outdated = false;
    }

    /// Returns whether the schedule was reset since the attempt in progress began. The attempt may have reached an earlier
    /// boot.
    pub(super) fn is_outdated(&self) -> bool {
        self.is_outdated
    }

    /// Forgets earlier failures, and schedules the next attempt.
    pub(super) fn reset(&mut self, next: Duration) {
        self.is_outdated = self.in_progress;
        self.failures = 0;
        self.unstable_links = 0;
        self.next = next;
    }

    /// Makes an attempt due at `now`, unless one is in progress or due earlier.
    pub(super) fn hasten(&mut self, now: Duration) {
        self.next = self.next.min(now);
    }

    /// Schedules the next attempt after one that failed with `support`. `random` determines the
    /// jitter.
    pub(super) fn back_off(&mut self, now: Duration, support: &NoSupport, random: u64) {
        let longest = match support {
            NoSupport::Unreachable(_) => MAX_BACKOFF_UNREACHABLE,
            _ => MAX_BACKOFF_UNSUPPORTED,
        };
        self.next = now + backoff(self.failures, longest, random);
        self.failures += 1;
    }

    /// Schedules the next attempt after a link was lost: after `tiebreak`, without a backoff. If
    /// the link did not last, as with a peer that completes only the handshake, the attempt waits
    /// for the longer of `tiebreak` and the backoff.
    pub(super) fn reconnect(
        &mut self,
        now: Duration,
        link_age: Duration,
        tiebreak: Duration,
        random: u64,
    ) {
        let backoff = if link_age < MIN_STABLE_LINK_AGE {
            self.unstable_links += 1;
            backoff(self.unstable_links - 1, MAX_BACKOFF_UNSUPPORTED, random)
        } else {
            self.unstable_links = 0;
            Duration::ZERO
        };
        self.next = now + backoff.max(tiebreak);
    }

    /// Returns when readiness stops waiting for the address, regardless of its state.
    pub(super) fn readiness_deadline(&self) -> Option<Duration> {
        self.first.map(|first| first + READINESS_TIMEOUT)
    }

    pub(super) fn add_waiter(&mut self, done: oneshot::Sender<bool>) {
        self.waiters.push(done);
    }

    /// Reports to all waiters whether a link is open.
    pub(super) fn notify_waiters(&mut self, is_linked: bool) {
        for waiter in self.waiters.drain(..) {
            // An error means that the caller has given up.
            let _ = waiter.send(is_linked);
        }
    }
}

/// Returns the backoff after `earlier` failures and one more.
fn backoff(earlier: u32, longest: Duration, random: u64) -> Duration {
    let backoff = FIRST_BACKOFF.saturating_mul(1 << earlier.min(10)).min(longest);
    jittered(backoff, random)
}

impl From<&DialError> for NoSupport {
    fn from(error: &DialError) -> Self {
        match error {
            DialError::Connect(error) => NoSupport::Unreachable(error.to_string()),
            DialError::ConnectTimeout => NoSupport::Unreachable(error.to_string()),
            DialError::HandshakeTimeout => NoSupport::Mute,
            DialError::ClosedDuringHandshake => NoSupport::NotFlyrpc(
                "it closed the connection before the handshake was complete".to_owned(),
            ),
            DialError::NotFlyrpc(text) => {
                NoSupport::NotFlyrpc(format!("it responded with {text:?}"))
            }
            DialError::Broken(error) => {
                NoSupport::NotFlyrpc(format!("the handshake failed: {error}"))
            }
            DialError::Malformed(error) => NoSupport::NotFlyrpc(format!("it sent a {error}")),
            DialError::OtherVersions { first, last, .. } => {
                NoSupport::Protocol { first: *first, last: *last }
            }
            DialError::OtherSecret(keys) => NoSupport::OtherSecret(keys.clone()),
            DialError::UnknownKey(key) => NoSupport::OtherSecret(vec![*key]),
            DialError::SecretRequired => NoSupport::SecretRequired,
            DialError::NoSecret => NoSupport::NoSecret,
            DialError::OtherSuite(_) | DialError::NotAuthentic(_) | DialError::KeyNotUsed => {
                NoSupport::NotFlyrpc(format!("the handshake failed: {error}"))
            }
            DialError::OtherCluster(name) => NoSupport::OtherCluster(name.clone()),
            DialError::SelfConnect => NoSupport::Oneself,
            DialError::InvalidPeer { .. } => NoSupport::NotFlyrpc(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The random number that yields no jitter: a factor of 1.
    const MIDDLE: u64 = 512;

    fn unreachable() -> NoSupport {
        NoSupport::Unreachable("no route".to_owned())
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn backoff_doubles_up_to_a_bound_that_depends_on_the_failure() {
        for (support, longest) in [(unreachable(), 5_000), (NoSupport::Mute, 15_000)] {
            let mut dial = DialSchedule::default();
            let pauses: Vec<_> = (0..8)
                .map(|_| {
                    dial.back_off(Duration::ZERO, &support, MIDDLE);
                    dial.next().unwrap()
                })
                .collect();
            let expected = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000];
            assert_eq!(pauses, expected.map(|pause: u64| ms(pause.min(longest))));
        }
    }

    #[test]
    fn a_stable_link_that_broke_is_dialed_again_at_once() {
        let mut dial = DialSchedule::default();
        dial.reconnect(ms(9_000), ms(5_000), Duration::ZERO, MIDDLE);
        assert_eq!(dial.next(), Some(ms(9_000)));
        dial.reconnect(ms(9_000), ms(5_000), DIAL_TIEBREAK_DELAY, MIDDLE);
        assert_eq!(dial.next(), Some(ms(10_000)));
    }

    #[test]
    fn links_that_do_not_last_back_off() {
        let mut dial = DialSchedule::default();
        dial.reconnect(ms(0), ms(4_999), Duration::ZERO, MIDDLE);
        assert_eq!(dial.next(), Some(ms(250)));
        dial.reconnect(ms(250), ms(0), Duration::ZERO, MIDDLE);
        assert_eq!(dial.next(), Some(ms(750)));
        dial.reset(ms(800));
        assert_eq!(dial.next(), Some(ms(800)));
    }

    #[test]
    fn calls_dial_after_the_first_loss_and_wait_for_the_backoff_after_a_failure() {
        let mut dial = DialSchedule::default();
        assert!(dial.is_open_to_calls());
        dial.back_off(ms(0), &unreachable(), MIDDLE);
        assert!(!dial.is_open_to_calls());
        dial.on_linked();
        assert!(dial.is_open_to_calls());
        dial.reconnect(ms(9_000), ms(5_000), Duration::ZERO, MIDDLE);
        assert!(dial.is_open_to_calls());
        // A peer that completes handshakes and then closes the links.
        dial.reconnect(ms(9_000), ms(0), Duration::ZERO, MIDDLE);
        assert!(dial.is_open_to_calls());
        dial.on_linked();
        dial.reconnect(ms(9_000), ms(0), Duration::ZERO, MIDDLE);
        assert!(!dial.is_open_to_calls());
    }

    #[test]
    fn one_attempt_is_in_progress_at_a_time_and_its_end_notifies_all_waiters() {
        let mut dial = DialSchedule::default();
        assert!(dial.begin(ms(7)) && !dial.begin(ms(8)));
        assert_eq!((dial.next(), dial.readiness_deadline()), (None, Some(ms(5_007))));
        let (first, mut result) = oneshot::channel();
        dial.add_waiter(first);
        dial.end();
        dial.notify_waiters(true);
        assert_eq!(result.try_recv(), Ok(true));
        assert!(dial.begin(ms(9)));
    }
}
