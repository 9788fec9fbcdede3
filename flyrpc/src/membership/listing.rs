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
use crate::{NodeId, NodeInfo};

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
    active: BTreeMap<SocketAddr, Identity>,
    /// Of those that are active.
    digests: Digests,
    listed: BTreeMap<SocketAddr, NodeInfo>,
    places: BTreeMap<NodeId, SocketAddr>,
    touched: BTreeSet<SocketAddr>,
    events: VecDeque<Event>,
}

impl Listing {
    pub(super) fn new(own: NodeId) -> Self {
        Listing {
            own,
            active: BTreeMap::new(),
            digests: Digests::new(),
            listed: BTreeMap::new(),
            places: BTreeMap::new(),
            touched: BTreeSet::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes note of a change; [`settle`](Self::settle) tells of it.
    pub(super) fn note(&mut self, change: &Notification<'_, Identity>) {
        let addr = match *change {
            Notification::MemberUp(id) => {
                self.activate(id);
                id.addr()
            }
            Notification::MemberDown(id) => {
                if let Some(before) = self.active.remove(&id.addr()) {
                    self.digests.toggle(&before);
                }
                id.addr()
            }
            Notification::Rename(_, id) => {
                if self.active.contains_key(&id.addr()) {
                    self.activate(id);
                }
                id.addr()
            }
            _ => return,
        };
        self.touched.insert(addr);
    }

    /// Emits what changed since the last time, as foca has it now: what was undone in between, or
    /// is the same boot under a new bump, makes no event.
    pub(super) fn settle(&mut self) {
        while let Some(addr) = self.touched.pop_first() {
            self.settle_at(addr);
        }
    }

    /// The live members, in order of their addresses.
    #[cfg(test)]
    pub(super) fn members(&self) -> impl ExactSizeIterator<Item = &NodeInfo> {
        self.listed.values()
    }

    /// The digests of every identity that foca holds alive, understood or not.
    pub(super) fn digests(&self) -> &Digests {
        &self.digests
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn activate(&mut self, id: &Identity) {
        self.digests.toggle(id);
        if let Some(before) = self.active.insert(id.addr(), id.clone()) {
            self.digests.toggle(&before);
        }
    }

    fn settle_at(&mut self, addr: SocketAddr) {
        let now = self.active.get(&addr).filter(|id| id.is_understood()).map(Identity::node);
        if now == self.listed.get(&addr) {
            return;
        }
        let now = now.cloned();
        if let Some(before) = self.listed.remove(&addr) {
            self.places.remove(before.id());
            // The same boot may have claimed another address meanwhile.
            let elsewhere = self.active.values().find(|other| other.node().id() == before.id());
            self.touched.extend(elsewhere.map(Identity::addr));
            self.events.push_back(Event::Down(before));
        }
        let Some(now) = now else { return };
        if *now.id() == self.own || self.places.contains_key(now.id()) {
            tracing::debug!(node = ?now, "a boot that is listed claims a second address");
            return;
        }
        self.places.insert(now.id().clone(), addr);
        self.listed.insert(addr, now.clone());
        self.events.push_back(Event::Up(now));
    }
}

#[cfg(test)]
mod tests {
    use foca::Notification::{MemberDown, MemberUp, Rename};

    use super::*;
    use crate::Region;

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
        listing.active.values().for_each(|id| digests.toggle(id));
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
