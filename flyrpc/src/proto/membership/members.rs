//! The members that were announced to the rest of the node, and the events that announce changes.
//!
//! foca tracks identities at addresses, and the rest of the node tracks boots. Each boot is listed
//! once. An event is one change of the list, regardless of the intermediate states in foca that led
//! to it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
};

use foca::Notification;

use super::{
    diagnostics::{Diagnostic, Diagnostics},
    digest::Digests,
    identity::Identity,
};
use crate::types::{NodeId, NodeInfo};

/// A change of the list of live members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// This boot of a node is now a member.
    Up(NodeInfo),
    /// This boot of a node went down, or was replaced by a later boot.
    Down(NodeInfo),
    /// This boot of a node left the cluster.
    Left(NodeInfo),
}

/// The live members, both as foca considers them and as they were announced.
#[derive(Debug)]
pub(super) struct MemberList {
    local: NodeId,
    /// All members that foca considers alive.
    active: BTreeMap<SocketAddr, Active>,
    /// Digests of `active`.
    digests: Digests,
    /// The boots that are listed.
    boots: BTreeSet<NodeId>,
    /// Addresses claimed by boots that are listed at another address.
    contested: BTreeSet<SocketAddr>,
    /// Addresses that changed since events were last emitted, each with the node that was listed
    /// there.
    dirty: BTreeMap<SocketAddr, Option<NodeInfo>>,
    /// The boots that leave with the changes that are emitted next.
    leaving: Vec<NodeId>,
    events: VecDeque<Event>,
}

/// A member that foca considers alive.
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

impl MemberList {
    pub(super) fn new(local: NodeId) -> Self {
        MemberList {
            local,
            active: BTreeMap::new(),
            digests: Digests::new(),
            boots: BTreeSet::new(),
            contested: BTreeSet::new(),
            dirty: BTreeMap::new(),
            leaving: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// Records a change, which [`emit_changes`](Self::emit_changes) later turns into events.
    pub(super) fn on_notification(&mut self, notification: &Notification<'_, Identity>) {
        match *notification {
            Notification::MemberUp(id) => self.change(id.addr(), Some(Active::new(id))),
            Notification::MemberDown(id) => self.change(id.addr(), None),
            Notification::Rename(_, id) if self.active.contains_key(&id.addr()) => {
                self.change(id.addr(), Some(Active::new(id)));
            }
            _ => {}
        }
    }

    /// Records that each of these boots left, if the next changes remove it.
    pub(super) fn expect_leaves(&mut self, boots: Vec<NodeId>) {
        self.leaving = boots;
    }

    /// Emits events for the changes since the last call. A change that was undone in the meantime,
    /// or that only gives the same boot a new bump, causes no event.
    pub(super) fn emit_changes(&mut self, diagnostics: &mut Diagnostics) {
        while let Some((addr, before)) = self.dirty.pop_first() {
            self.emit_change(addr, before, diagnostics);
        }
        self.leaving.clear();
    }

    /// The live members, in order of their addresses.
    #[cfg(test)]
    pub(super) fn listed(&self) -> impl Iterator<Item = &NodeInfo> {
        self.active.values().filter_map(Active::listed)
    }

    /// Returns whether this boot is alive at its address.
    pub(super) fn contains(&self, node: &NodeInfo) -> bool {
        self.active.get(&node.addr()).is_some_and(|active| active.node.id() == node.id())
    }

    pub(super) fn pop_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Digests of every identity that foca considers alive, whether listed or not.
    pub(super) fn digests(&self) -> &Digests {
        &self.digests
    }

    fn change(&mut self, addr: SocketAddr, now: Option<Active>) {
        self.mark_dirty(addr);
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

    fn mark_dirty(&mut self, addr: SocketAddr) {
        let listed = || self.active.get(&addr).and_then(Active::listed).cloned();
        self.dirty.entry(addr).or_insert_with(listed);
    }

    fn emit_change(
        &mut self,
        addr: SocketAddr,
        before: Option<NodeInfo>,
        diagnostics: &mut Diagnostics,
    ) {
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
            self.unlist(before);
        }
        let Some(now) = now else { return };
        if *now.id() == self.local || self.boots.contains(now.id()) {
            diagnostics.push(Diagnostic::SecondAddress(now));
            self.contested.insert(addr);
            return;
        }
        self.boots.insert(now.id().clone());
        if let Some(active) = self.active.get_mut(&addr) {
            active.is_listed = true;
        }
        self.events.push_back(Event::Up(now));
    }

    fn unlist(&mut self, node: NodeInfo) {
        self.boots.remove(node.id());
        // The same boot may have claimed another address in the meantime.
        let is_same = |addr: &&SocketAddr| {
            self.active.get(addr).is_some_and(|other| other.node.id() == node.id())
        };
        if let Some(elsewhere) = self.contested.iter().find(is_same).copied() {
            self.mark_dirty(elsewhere);
        }
        let left = self.leaving.contains(node.id());
        self.events.push_back(if left { Event::Left(node) } else { Event::Down(node) });
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
        let mut members = MemberList::new(NodeId::new("local", 0));
        for step in steps {
            step.iter().for_each(|change| members.on_notification(change));
            members.emit_changes(&mut Diagnostics::default());
        }
        assert_eq!(members.events, expected);
        let mut digests = Digests::new();
        members.active.values().for_each(|active| digests.toggle(&active.node, active.bump));
        assert_eq!(members.digests, digests);
    }

    #[test]
    fn a_bump_of_the_same_boot_causes_no_event() {
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
    fn a_boot_that_was_expected_to_leave_has_left() {
        let (leaver, other) = (identity(1, 80), identity(2, 81));
        let mut members = MemberList::new(NodeId::new("local", 0));
        let step = |members: &mut MemberList, changes: &[Notification<'_, Identity>]| {
            changes.iter().for_each(|change| members.on_notification(change));
            members.emit_changes(&mut Diagnostics::default());
        };
        step(&mut members, &[MemberUp(&leaver), MemberUp(&other)]);
        members.expect_leaves(vec![leaver.node().id().clone()]);
        step(&mut members, &[MemberDown(&leaver)]);
        step(&mut members, &[MemberUp(&leaver)]);
        step(&mut members, &[MemberDown(&leaver), MemberDown(&other)]);
        let left = Event::Left(leaver.node().clone());
        let expected = [up(&leaver), up(&other), left, up(&leaver), down(&leaver), down(&other)];
        assert_eq!(members.events, expected);
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
