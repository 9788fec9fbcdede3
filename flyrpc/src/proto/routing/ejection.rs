//! Ejects nodes that fail, and lets them return.
//!
//! A node that fails fast attracts no calls, because its failures count as slow. The calls that still reach it
//! fail, though. So a node that fails nearly all calls is ejected for a while, and then probed with one call.
//!
//! The rules are those of gRPC (proposal A50: failure percentage, multiples of the base time that fall again
//! after a healthy period) and of Envoy (consecutive failures of the transport, one half of a region at most).
//! The times are shorter: as flyrpc probes with a single call, an early probe costs little.
//!
//! All times are in microseconds since this node was started.

use std::collections::VecDeque;

/// A node is ejected for this long, times the number of recent ejections.
const BASE: u64 = 10_000_000;

/// Upper bound on an ejection.
const MAX: u64 = 30_000_000;

/// The time after which another call may probe a node if the last one has not ended.
pub(super) const PROBE_LEASE: u64 = 10_000_000;

/// The time from a probe to the next one if it ended without showing whether the node has recovered. Calls that
/// are hedged or have short timeouts would otherwise probe a node that does not respond again and again.
pub(super) const PROBE_PAUSE: u64 = 1_000_000;

/// After each such period in which a node was not ejected, its next ejection is shorter by [`BASE`].
const HEALTHY: u64 = 30_000_000;

/// The number of consecutive transport failures after which a node is ejected.
const TRANSPORT_FAILURES: u32 = 5;

/// A node is ejected if at least [`FAILED_PERCENT`] of at least this many calls failed within [`WINDOW`].
const CALLS: usize = 20;
const FAILED_PERCENT: usize = 85;
const WINDOW: u64 = 10_000_000;

/// How a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The link broke or went quiet, or the deadline passed without a reply.
    Transport,
    /// The node responded that it is overloaded, or that the handler panicked.
    Response,
}

/// A change of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The node is ejected until this time, and then probed. It may have been ejected before.
    Ejected { until: u64 },
    /// The node is not ejected any longer.
    Restored,
}

/// Decides when a node is ejected, and when it returns.
#[derive(Debug, Default)]
pub(crate) struct Ejection {
    /// Present while the node is ejected.
    ejected: Option<Ejected>,
    /// How often it was ejected recently.
    times: u64,
    /// When the last ejection ended.
    restored: u64,
    /// The number of consecutive transport failures.
    transport_failures: u32,
    /// The latest failures, at most [`CALLS`] of them: the time of each, and the number of replies before it.
    failures: VecDeque<(u64, u32)>,
}

#[derive(Debug)]
struct Ejected {
    since: u64,
    until: u64,
}

impl Ejection {
    /// Handles a failure at `now` of a call that was sent at `sent_at`. `replies` is the number of replies of the
    /// node so far, modulo 2^32.
    pub(crate) fn on_failure(
        &mut self,
        now: u64,
        sent_at: u64,
        replies: u32,
        failure: Failure,
    ) -> Option<Change> {
        if let Some(ejected) = &self.ejected {
            // Calls that were sent before the ejection ended show nothing new.
            return (sent_at >= ejected.until).then(|| self.eject(now));
        }
        self.transport_failures = match failure {
            Failure::Transport => self.transport_failures + 1,
            Failure::Response => 0,
        };
        self.failures.push_back((now, replies));
        if self.failures.len() > CALLS {
            self.failures.pop_front();
        }
        let fails = self.transport_failures >= TRANSPORT_FAILURES || self.fails_most(now, replies);
        fails.then(|| self.eject(now))
    }

    /// Handles a reply to a call that was sent at `sent_at`.
    pub(crate) fn on_reply(&mut self, now: u64, sent_at: u64) -> Option<Change> {
        self.transport_failures = 0;
        // A reply to an earlier call does not show that the node has recovered.
        self.ejected.take_if(|ejected| sent_at >= ejected.since)?;
        self.restored = now;
        Some(Change::Restored)
    }

    /// Returns whether the node is ejected.
    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected.is_some()
    }

    /// Returns whether most of the latest calls failed: there is a number of latest failures which, together with
    /// the replies in between, make up enough calls, and a large enough part of them.
    fn fails_most(&self, now: u64, replies: u32) -> bool {
        let latest = self.failures.iter().rev().zip(1..);
        latest.take_while(|((at, _), _)| now.saturating_sub(*at) < WINDOW).any(
            |(&(_, before), failed)| {
                let calls = failed + replies.wrapping_sub(before) as usize;
                calls >= CALLS && failed * 100 >= calls * FAILED_PERCENT
            },
        )
    }

    fn eject(&mut self, now: u64) -> Change {
        if self.ejected.is_none() {
            let healthy = now.saturating_sub(self.restored) / HEALTHY;
            self.times = self.times.saturating_sub(healthy);
        }
        self.times = (self.times + 1).min(MAX / BASE);
        let until = now + self.times * BASE;
        self.ejected = Some(Ejected { since: now, until });
        self.transport_failures = 0;
        self.failures.clear();
        Change::Ejected { until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    /// A node that is called once per millisecond.
    #[derive(Default)]
    struct Node {
        ejection: Ejection,
        now: u64,
        replies: u32,
    }

    impl Node {
        fn fail(&mut self, failure: Failure) -> Option<Change> {
            self.now += 1_000;
            self.ejection.on_failure(self.now, self.now, self.replies, failure)
        }

        fn reply(&mut self) -> Option<Change> {
            self.now += 1_000;
            self.replies += 1;
            self.ejection.on_reply(self.now, self.now)
        }

        /// Fails until the node is ejected. Returns the number of failures and the time of the ejection in seconds.
        fn fail_until_ejected(&mut self, failure: Failure) -> (u32, u64) {
            for count in 1..1_000 {
                if let Some(Change::Ejected { until }) = self.fail(failure) {
                    return (count, (until - self.now) / SECOND);
                }
            }
            panic!("not ejected");
        }
    }

    #[test]
    fn five_transport_failures_in_a_row_eject_a_node() {
        let mut node = Node::default();
        for _ in 0..10 {
            (0..4).for_each(|_| assert_eq!(node.fail(Failure::Transport), None));
            assert_eq!(node.reply(), None);
            node.replies += 10;
        }
        assert_eq!(node.fail_until_ejected(Failure::Transport), (5, 10));
    }

    #[test]
    fn a_node_that_fails_most_of_twenty_calls_is_ejected() {
        let mut node = Node::default();
        node.replies += 1_000;
        assert_eq!(node.fail_until_ejected(Failure::Response), (20, 10));

        let mut node = Node::default();
        let mut calls = 0;
        while !node.ejection.is_ejected() {
            calls += 1;
            if calls % 7 == 0 {
                node.reply()
            } else {
                node.fail(Failure::Response)
            };
        }
        assert!((20..=23).contains(&calls), "{calls}");

        let mut node = Node::default();
        for call in 0..10_000 {
            if call % 5 == 0 {
                node.reply()
            } else {
                node.fail(Failure::Response)
            };
        }
        assert!(!node.ejection.is_ejected());
    }

    #[test]
    fn failures_that_are_far_apart_do_not_eject_a_node() {
        let mut node = Node::default();
        for _ in 0..1_000 {
            node.now += SECOND;
            assert_eq!(node.fail(Failure::Response), None);
        }
    }

    #[test]
    fn a_failed_probe_ejects_for_longer_and_a_healthy_period_for_less() {
        let mut node = Node::default();
        assert_eq!(node.fail_until_ejected(Failure::Response).1, 10);
        for expected in [20, 30, 30] {
            // An earlier call shows nothing.
            let ended = node.ejection.ejected.as_ref().unwrap().until;
            node.now = ended + SECOND;
            let earlier = node.ejection.on_failure(node.now, ended - 1, 0, Failure::Transport);
            assert_eq!(earlier, None);
            let Some(Change::Ejected { until }) = node.fail(Failure::Response) else { panic!() };
            assert_eq!((until - node.now) / SECOND, expected);
        }
        assert_eq!(node.reply(), Some(Change::Restored));
        assert_eq!(node.fail_until_ejected(Failure::Transport), (5, 30));
        node.reply();
        node.now += 2 * HEALTHY;
        assert_eq!(node.fail_until_ejected(Failure::Transport), (5, 20));
    }

    #[test]
    fn a_reply_to_a_call_that_was_sent_before_the_ejection_does_not_end_it() {
        let mut node = Node::default();
        let before = node.now;
        node.fail_until_ejected(Failure::Transport);
        assert_eq!(node.ejection.on_reply(node.now, before), None);
        assert!(node.ejection.is_ejected());
        assert_eq!(node.reply(), Some(Change::Restored));
    }
}
