//! All addresses that the cluster task knows, and which of them are dirty.
//!
//! In a large cluster, most changes affect a single peer. So each change of a peer goes through
//! this table and marks the peer dirty. Only dirty peers are republished and rescheduled.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use super::peer::Peer;
use crate::runtime::link::Link;

/// Sorts before every other address.
const MIN_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Peers by their addresses, and when to dial them.
#[derive(Debug, Default)]
pub(super) struct PeerTable {
    peers: BTreeMap<SocketAddr, Peer>,
    /// Peers that may have changed since they were last scheduled.
    dirty: BTreeSet<SocketAddr>,
    /// Peers that may have changed since they were last published.
    unpublished: BTreeSet<SocketAddr>,
    /// The addresses to dial, ordered by time. `dial_times` has the same contents by address.
    dials: BTreeSet<(Duration, SocketAddr)>,
    dial_times: BTreeMap<SocketAddr, Duration>,
    /// Pairs of an address where a node is reached and an address that led to it. Entries may be
    /// stale.
    aliases: BTreeSet<(SocketAddr, SocketAddr)>,
    /// When readiness stops waiting for the dialed peers. Not tracked once the node is ready.
    readiness_deadlines: BTreeSet<Duration>,
    is_ready: bool,
}

impl PeerTable {
    pub(super) fn get(&self, addr: SocketAddr) -> Option<&Peer> {
        self.peers.get(&addr)
    }

    /// Returns the peer at an address, and marks it dirty.
    pub(super) fn get_mut(&mut self, addr: SocketAddr) -> Option<&mut Peer> {
        let peer = self.peers.get_mut(&addr)?;
        self.dirty.insert(addr);
        Some(peer)
    }

    /// Returns the peer at an address, and marks it dirty. Adds an empty peer if the address is
    /// new.
    pub(super) fn entry(&mut self, addr: SocketAddr) -> &mut Peer {
        self.dirty.insert(addr);
        self.peers.entry(addr).or_default()
    }

    /// Records that the node found at `addr` is reached at `target`.
    pub(super) fn set_alias(&mut self, addr: SocketAddr, target: SocketAddr) {
        self.entry(addr).set_alias_of(target);
        self.aliases.insert((target, addr));
    }

    pub(super) fn remove(&mut self, addr: SocketAddr) {
        self.dirty.insert(addr);
        self.peers.remove(&addr);
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// All links, including those that are draining.
    pub(super) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.peers.values().flat_map(|peer| peer.links().iter())
    }

    /// Whether the peer is an alias of an address where its node is linked.
    pub(super) fn is_linked_alias(&self, peer: &Peer) -> bool {
        let target = peer.alias_of().and_then(|addr| self.get(addr));
        target.is_some_and(|peer| peer.link().is_some())
    }

    /// Whether readiness no longer needs to wait for an address.
    pub(super) fn is_settled(&self, addr: SocketAddr, now: Duration) -> bool {
        let Some(peer) = self.peers.get(&addr) else { return true };
        let target = peer.alias_of().and_then(|addr| self.get(addr));
        peer.is_settled(now) || target.is_some_and(|peer| peer.is_settled(now))
    }

    /// Returns when the node at an address first synced.
    pub(super) fn synced_at(&self, addr: SocketAddr) -> Option<Duration> {
        let peer = self.peers.get(&addr)?;
        let target = peer.alias_of().and_then(|addr| self.get(addr));
        peer.synced_at().or_else(|| target?.synced_at())
    }

    /// Whether the last attempt to dial an address failed.
    pub(super) fn has_failed(&self, addr: SocketAddr) -> bool {
        self.get(addr).is_some_and(|peer| peer.no_support().is_some())
    }

    /// Returns when to dial next.
    pub(super) fn next_dial(&mut self) -> Option<Duration> {
        self.reschedule();
        self.dials.first().map(|&(at, _)| at)
    }

    /// Returns the next time after `now` at which readiness stops waiting for a peer.
    pub(super) fn next_readiness_deadline(&mut self, now: Duration) -> Option<Duration> {
        self.reschedule();
        let later = (Bound::Excluded(now), Bound::Unbounded);
        self.readiness_deadlines.range(later).next().copied()
    }

    /// Records that the node is ready. After that, readiness deadlines are not tracked.
    pub(super) fn on_ready(&mut self) {
        self.is_ready = true;
        self.readiness_deadlines.clear();
    }

    /// Returns the addresses to dial at `now`, sorted by address.
    pub(super) fn due_dials(&mut self, now: Duration) -> Vec<SocketAddr> {
        self.reschedule();
        let due = self.dials.iter().take_while(|(at, _)| *at <= now);
        let mut due: Vec<SocketAddr> = due.map(|&(_, addr)| addr).collect();
        due.sort_unstable();
        due
    }

    /// Takes the addresses that may have changed since the last call.
    pub(super) fn take_unpublished(&mut self) -> BTreeSet<SocketAddr> {
        self.reschedule();
        std::mem::take(&mut self.unpublished)
    }

    /// Removes the peers at `addrs` that are not worth remembering.
    pub(super) fn remove_unknown(&mut self, addrs: &BTreeSet<SocketAddr>) {
        for &addr in addrs {
            if self.get(addr).is_some_and(|peer| !peer.is_known()) {
                self.remove(addr);
            }
        }
    }

    /// Reschedules the dirty peers and their aliases, which depend on the links of those peers.
    fn reschedule(&mut self) {
        while let Some(addr) = self.dirty.pop_first() {
            self.reschedule_at(addr);
            let aliases = self.aliases.range((addr, MIN_ADDR)..);
            let aliases = aliases.take_while(|(target, _)| *target == addr);
            let aliases: Vec<SocketAddr> = aliases.map(|&(_, alias)| alias).collect();
            for alias in aliases {
                if self.get(alias).is_some_and(|peer| peer.alias_of() == Some(addr)) {
                    self.reschedule_at(alias);
                } else {
                    self.aliases.remove(&(addr, alias));
                }
            }
        }
    }

    fn reschedule_at(&mut self, addr: SocketAddr) {
        self.unpublished.insert(addr);
        let peer = self.peers.get(&addr);
        if !self.is_ready {
            self.readiness_deadlines.extend(peer.and_then(Peer::readiness_deadline));
        }
        let peer = peer.filter(|peer| !self.is_linked_alias(peer));
        let next = peer.and_then(Peer::next_dial);
        let before = match next {
            Some(at) => self.dial_times.insert(addr, at),
            None => self.dial_times.remove(&addr),
        };
        if before != next {
            before.map(|at| self.dials.remove(&(at, addr)));
            next.map(|at| self.dials.insert((at, addr)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::link::DialError;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn only_dirty_peers_and_their_aliases_are_unpublished() {
        let mut peers = PeerTable::default();
        (1..=3).for_each(|port| peers.entry(addr(port)).set_seed(true));
        peers.set_alias(addr(2), addr(1));
        assert_eq!(peers.take_unpublished(), [1, 2, 3].map(addr).into());
        assert_eq!(peers.take_unpublished(), BTreeSet::new());
        assert!(peers.get_mut(addr(1)).is_some());
        assert_eq!(peers.take_unpublished(), [1, 2].map(addr).into());
    }

    #[test]
    fn an_address_is_dialed_when_it_is_due_and_no_attempt_is_in_progress() {
        let mut peers = PeerTable::default();
        [2, 1].into_iter().for_each(|port| peers.entry(addr(port)).set_seed(true));
        assert_eq!(peers.due_dials(ms(0)), [1, 2].map(addr));
        [1, 2].into_iter().for_each(|port| assert!(peers.entry(addr(port)).begin_dial(ms(0))));
        assert_eq!(peers.next_dial(), None);
        peers.entry(addr(2)).on_dial_failed(ms(10), &DialError::ConnectTimeout, 512);
        assert_eq!(peers.next_dial(), Some(ms(260)));
        assert_eq!((peers.due_dials(ms(259)), peers.due_dials(ms(260))), (vec![], vec![addr(2)]));
    }

    #[test]
    fn a_peer_that_nothing_lists_is_removed() {
        let mut peers = PeerTable::default();
        peers.entry(addr(1)).set_seed(true);
        peers.entry(addr(2));
        let dirty = peers.take_unpublished();
        peers.remove_unknown(&dirty);
        assert!(peers.get(addr(1)).is_some() && peers.get(addr(2)).is_none());
        assert_eq!(peers.take_unpublished(), [addr(2)].into());
    }
}
