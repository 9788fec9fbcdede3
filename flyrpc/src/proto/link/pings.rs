//! The pings that this end has sent, so that a pong counts only if it answers one of them.

use std::collections::VecDeque;

/// Upper bound on the pings that wait for their pongs. Pongs arrive in the order of the pings, and a
/// link sends a few pings per heartbeat. More pings are outstanding only if the peer stopped answering.
const MAX_OUTSTANDING: usize = 256;

/// The stamps of pings without a pong, oldest first.
#[derive(Debug, Default)]
pub(crate) struct SentPings(VecDeque<u64>);

impl SentPings {
    /// Records a ping that carries `stamp`. The stamp of a hello is a ping, too.
    pub(crate) fn add(&mut self, stamp: u64) {
        if self.0.len() == MAX_OUTSTANDING {
            self.0.pop_front();
        }
        self.0.push_back(stamp);
    }

    /// Handles a pong that echoes the stamp `echo`. Returns whether it answers an outstanding ping. A
    /// pong also answers all earlier pings, because a peer answers in order.
    ///
    /// Without this check, a peer that answers no ping could keep a link alive with fabricated pongs,
    /// and could claim any round trip.
    pub(crate) fn answer(&mut self, echo: u64) -> bool {
        let Some(at) = self.0.iter().position(|&stamp| stamp == echo) else { return false };
        self.0.drain(..=at);
        true
    }

    /// Frees unused memory.
    pub(crate) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_answers_only_a_ping_that_was_sent_and_only_once() {
        let mut pings = SentPings::default();
        assert!(!pings.answer(0));
        pings.add(10);
        assert!(!pings.answer(9) && !pings.answer(11));
        assert!(pings.answer(10));
        assert!(!pings.answer(10));
    }

    #[test]
    fn a_pong_also_answers_all_earlier_pings() {
        let mut pings = SentPings::default();
        (1..=3).for_each(|stamp| pings.add(stamp));
        assert!(pings.answer(2));
        assert!(!pings.answer(1));
        assert!(pings.answer(3));
    }

    #[test]
    fn pings_that_are_never_answered_do_not_accumulate() {
        let mut pings = SentPings::default();
        (0..10_000).for_each(|stamp| pings.add(stamp));
        assert_eq!(pings.0.len(), MAX_OUTSTANDING);
        assert!(!pings.answer(10_000 - 1 - MAX_OUTSTANDING as u64));
        assert!(pings.answer(9_999));
    }
}
