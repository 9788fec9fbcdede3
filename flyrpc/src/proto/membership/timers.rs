//! The timers that foca requested, in the order in which they are due.
//!
//! foca never cancels a timer. It ignores each timer that a later one made obsolete. Here, the
//! later timer replaces the earlier one, so that no input from peers makes the number of timers
//! exceed a few, plus two for each member.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use foca::{Incarnation, Timer, TimerToken};

use super::identity::Identity;

/// A purpose for which there is one timer at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    IndirectProbe,
    Probe,
    Announce,
    AnnounceToDown,
    Gossip,
    Suspicion(SocketAddr),
    Forget(SocketAddr),
}

impl Slot {
    fn of(timer: &Timer<Identity>) -> Self {
        match timer {
            Timer::SendIndirectProbe { .. } => Slot::IndirectProbe,
            Timer::ProbeRandomMember(_) => Slot::Probe,
            Timer::PeriodicAnnounce(_) => Slot::Announce,
            Timer::PeriodicAnnounceDown(_) => Slot::AnnounceToDown,
            Timer::PeriodicGossip(_) => Slot::Gossip,
            Timer::ChangeSuspectToDown { member_id, .. } => Slot::Suspicion(member_id.addr()),
            Timer::RemoveDown(id) => Slot::Forget(id.addr()),
        }
    }
}

/// The time at which a timer is due, and a sequence number that orders timers due at the same time.
type Due = (Duration, u64);

/// All timers, at most one per slot.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeMap<Due, Timer<Identity>>,
    slots: BTreeMap<Slot, Due>,
    next_seq: u64,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer<Identity>, due: Duration) {
        let slot = Slot::of(&timer);
        if let Some(before) = self.slots.get(&slot) {
            // foca sets another timer each time a probe of a suspect fails. If each replaced the
            // previous one, the suspicion would not end while the suspect is being probed.
            let repeats = matches!(slot, Slot::Suspicion(_))
                && before.0 <= due
                && self.queue.get(before) == Some(&timer);
            if repeats {
                return;
            }
            self.queue.remove(before);
        }
        let due = (due, self.next_seq);
        self.next_seq += 1;
        self.slots.insert(slot, due);
        self.queue.insert(due, timer);
    }

    /// When the next timer is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.queue.keys().next().map(|&(due, _)| due)
    }

    /// Takes the next timer, if it is due at `now`.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Timer<Identity>> {
        let entry = self.queue.first_entry().filter(|entry| entry.key().0 <= now)?;
        let timer = entry.remove();
        self.slots.remove(&Slot::of(&timer));
        Some(timer)
    }

    /// The suspects that will be declared down unless they refute, each with the suspected
    /// incarnation.
    pub(super) fn suspects(&self) -> impl Iterator<Item = (&Identity, Incarnation)> {
        // The range starts at the lowest possible address. It excludes `Forget` timers, because
        // there may be many of them.
        let least = SocketAddr::from(([0, 0, 0, 0], 0));
        let suspicions = self.slots.range(Slot::Suspicion(least)..Slot::Forget(least));
        suspicions.filter_map(|(_, due)| match self.queue.get(due)? {
            Timer::ChangeSuspectToDown { member_id, incarnation, .. } => {
                Some((member_id, *incarnation))
            }
            _ => None,
        })
    }

    /// When the member at `addr`, which is down, will be forgotten, if a timer for that is set.
    pub(super) fn forgets_at(&self, addr: SocketAddr) -> Option<Duration> {
        self.slots.get(&Slot::Forget(addr)).map(|&(due, _)| due)
    }

    /// The token of foca's current timers, or `None` if foca is not probing.
    pub(super) fn token(&self) -> Option<TimerToken> {
        match self.queue.get(self.slots.get(&Slot::Probe)?) {
            Some(&Timer::ProbeRandomMember(token)) => Some(token),
            _ => None,
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Timers { next_seq: self.next_seq, ..Timers::default() };
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NodeId, NodeInfo, Region};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn suspicion(incarnation: u16) -> Timer<Identity> {
        let addr = "10.0.0.1:80".parse().unwrap();
        let node = NodeInfo::new(NodeId::new("a", 1), Region::LOCAL, addr);
        let member_id = Identity::new(&node, 1).unwrap();
        Timer::ChangeSuspectToDown { member_id, incarnation, token: 0 }
    }

    #[test]
    fn timers_fire_by_time_then_in_insertion_order() {
        let mut timers = Timers::default();
        timers.set(Timer::PeriodicGossip(0), ms(5));
        timers.set(Timer::PeriodicAnnounce(0), ms(3));
        timers.set(Timer::ProbeRandomMember(0), ms(5));
        assert_eq!(timers.next(), Some(ms(3)));
        assert_eq!(timers.pop(ms(2)), None);
        assert_eq!(timers.pop(ms(9)), Some(Timer::PeriodicAnnounce(0)));
        assert_eq!(timers.pop(ms(9)), Some(Timer::PeriodicGossip(0)));
        assert_eq!(timers.pop(ms(9)), Some(Timer::ProbeRandomMember(0)));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_later_timer_replaces_the_one_in_its_slot() {
        let mut timers = Timers::default();
        timers.set(Timer::ProbeRandomMember(1), ms(5));
        timers.set(Timer::ProbeRandomMember(2), ms(9));
        assert_eq!((timers.len(), timers.token()), (1, Some(2)));
        assert_eq!(timers.pop(ms(9)), Some(Timer::ProbeRandomMember(2)));
        assert_eq!(timers.token(), None);
    }

    #[test]
    fn only_suspicions_have_suspects() {
        let mut timers = Timers::default();
        timers.set(Timer::PeriodicGossip(0), ms(1));
        timers.set(suspicion(3), ms(5));
        let Timer::ChangeSuspectToDown { member_id: suspect, .. } = suspicion(3) else { panic!() };
        timers.set(Timer::RemoveDown(suspect.clone()), ms(9));
        assert_eq!(timers.suspects().collect::<Vec<_>>(), [(&suspect, 3)]);
    }

    #[test]
    fn repeating_a_suspicion_does_not_extend_it() {
        let mut timers = Timers::default();
        timers.set(suspicion(0), ms(5));
        timers.set(suspicion(0), ms(9));
        assert_eq!(timers.next(), Some(ms(5)));
        timers.set(suspicion(1), ms(20));
        assert_eq!((timers.len(), timers.next()), (1, Some(ms(20))));
    }
}
