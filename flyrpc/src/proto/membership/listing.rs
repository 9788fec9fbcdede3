//! Which members the rest of the node was told of, and the events that keep it told.
//!
//! foca speaks of identities at addresses; the rest of the node knows boots. Each boot is listed
//! once, and an event is one change of that list, whatever foca went through to get there.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
};

use foca::Notification;

use super::{identity::Identity, sync::Digests};
use crate::types::{NodeId, NodeInfo};

/// A change of the list of live members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// This boot of a node is a member now.
    Up(NodeInfo),
    /// This boot of a node went down, left, or was replaced by a later boot.
    Down(NodeInfo),
}

/// The live members, as foca sees them and as they were announced.
#[derive(Debug)]
pub(super) struct Listing {
    own: NodeId,
    active: BTreeMap<SocketAddr, Active>,
    /// Of those in `active`.
    digests: Digests,
    /// The boots that are listed.
    boots: BTreeSet<NodeId>,
    /// Where boots are claimed to be that are listed elsewhere.
    contested: BTreeSet<SocketAddr>,
    /// Where something changed since the last time that was told, and what was listed there.
    touched: BTreeMap<SocketAddr, Option<NodeInfo>>,
    events: VecDeque<Event>,
}

/// A member that foca holds alive.
#[derive(Debug)]
struct Active {
    node: NodeInfo,
    bump: u32,
    is_understood: bool,
    is_listed: bool,
}

impl Active {
    fn new(id: &Identity) -> Self {
        Active {
            node: id.node().clone(),
            bump: id.bump(),
            is_understood: id.is_understood(),
            is_listed: false,
        }
    }

    fn listed(&self) -> Option<&NodeInfo> {
        self.is_listed.then_some(&self.node)
    }
}

impl Listing {
    pub(super) fn new(own: NodeId) -> Self {
        Listing {
            own,
            active: BTreeMap::new(),
            digests: Digests::new(),
            boots: BTreeSet::new(),
            contested: BTreeSet::new(),
            touched: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes note of a change; [`settle`](Self::settle) tells of it.
    pub(super) fn note(&mut self, change: &Notification<'_, Identity>) {
        match *change {
            Notification::MemberUp(id) => self.change(id.addr(), Some(Active::new(id))),
            Notification::MemberDown(id) => self.change(id.addr(), None),
            Notification::Rename(_, id) if self.active.contains_key(&id.addr()) => {
                self.change(id.addr(), Some(Active::new(id)));
            }
            _ => {}
        }
    }

    /// Emits what changed since the last time, as foca has it now: what was undone in between, or
    /// is the same boot under a new bump, makes no event.
    pub(super) fn settle(&mut self) {
        while let Some((addr, before)) = self.touched.pop_first() {
            self.settle_at(addr, before);
        }
    }

    /// The live members, in order of their addresses.
    #[cfg(test)]
    pub(super) fn members(&self) -> impl Iterator<Item = &NodeInfo> {
        self.active.values().filter_map(Active::listed)
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Digests of every identity that foca holds alive, understood or not.
    pub(super) fn digests(&self) -> &Digests {
        &self.digests
    }

    fn change(&mut self, addr: SocketAddr, now: Option<Active>) {
        self.touch(addr);
        if let Some(active) = &now {
            self.digests.toggle(&active.node, active.bump);
        }
        let before = match now {
            Some(active) => self.active.insert(addr, active),
            None => self.active.remove(&addr),
        };
        if let Some(before) = before {
            self.digests.toggle(&before.node, before.bump);
        }
    }

    fn touch(&mut self, addr: SocketAddr) {
        let listed = || self.active.get(&addr).and_then(Active::listed).cloned();
        self.touched.entry(addr).or_insert_with(listed);
    }

    fn settle_at(&mut self, addr: SocketAddr, before: Option<NodeInfo>) {
        self.contested.remove(&addr);
        let mut now = self.active.get_mut(&addr).filter(|active| active.is_understood);
        if let Some(active) = &mut now
            && before.as_ref() == Some(&active.node)
        {
            active.is_listed = true;
            return;
        }
        let now = now.map(|active| active.node.clone());
        if let Some(before) = before {
            self.boots.remove(before.id());
            // The same boot may have claimed another address meanwhile.
            let is_same = |other: &&SocketAddr| {
                self.active.get(other).is_some_and(|other| other.node.id() == before.id())
            };
            if let Some(elsewhere) = self.contested.iter().find(is_same).copied() {
                self.touch(elsewhere);
            }
            self.events.push_back(Event::Down(before));
        }
        let Some(now) = now else { return };
        if *now.id() == self.own || self.boots.contains(now.id()) {
            tracing::debug!(node = ?now, "a boot that is listed claims a second address");
            self.contested.insert(addr);
            return;
        }
        self.boots.insert(now.id().clone());
        if let Some(active) = self.active.get_mut(&addr) {
            active.is_listed = true;
        }
        self.events.push_back(Event::Up(now));
    }
}

#[cfg(test)]
mod tests {
    use foca::Notification::{MemberDown, MemberUp, Rename};

    use super::*;
    use crate::types::Region;

    fn identity(boot: u64, port: u16) -> Identity {
        let addr = SocketAddr::from(([10, 0, 0, 1], port));
        let node = NodeInfo::new(NodeId::new("a", boot), Region::LOCAL, addr);
        Identity::new(&node, 1).unwrap()
    }

    fn up(id: &Identity) -> Event {
        Event::Up(id.node().clone())
    }

    fn down(id: &Identity) -> Event {
        Event::Down(id.node().clone())
    }

    #[track_caller]
    fn check(steps: &[&[Notification<'_, Identity>]], expected: &[Event]) {
        let mut listing = Listing::new(NodeId::new("own", 0));
        for step in steps {
            step.iter().for_each(|change| listing.note(change));
            listing.settle();
        }
        assert_eq!(listing.events, expected);
        let mut digests = Digests::new();
        listing.active.values().for_each(|active| digests.toggle(&active.node, active.bump));
        assert_eq!(listing.digests, digests);
    }

    #[test]
    fn a_bump_of_the_same_boot_is_no_event() {
        let (first, second) = (identity(1, 80), identity(1, 80).with_bump(1));
        check(&[&[MemberUp(&first)], &[Rename(&first, &second)]], &[up(&first)]);
        check(
            &[
                &[MemberUp(&first)],
                &[MemberDown(&first), Rename(&first, &second), MemberUp(&second)],
            ],
            &[up(&first)],
        );
    }

    #[test]
    fn another_boot_at_the_address_replaces_the_first() {
        let (old, new) = (identity(1, 80), identity(2, 80));
        check(&[&[MemberUp(&old)], &[Rename(&old, &new)]], &[up(&old), down(&old), up(&new)]);
        check(
            &[&[MemberUp(&old)], &[Rename(&old, &new), MemberDown(&new)]],
            &[up(&old), down(&old)],
        );
        check(&[&[Rename(&old, &new)]], &[]);
    }

    #[test]
    fn a_boot_is_listed_once_though_it_claims_two_addresses() {
        let (here, there) = (identity(1, 80), identity(1, 81));
        check(&[&[MemberUp(&there)], &[MemberUp(&here)], &[MemberDown(&here)]], &[up(&there)]);
        check(
            &[&[MemberUp(&here)], &[MemberUp(&there)], &[MemberDown(&here)]],
            &[up(&here), down(&here), up(&there)],
        );
    }
}
