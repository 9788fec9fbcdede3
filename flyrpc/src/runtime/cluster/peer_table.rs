//! All peers that the cluster task knows, and which of them are dirty.
//!
//! In a large cluster, most changes affect a single peer. Each change of a peer therefore goes through
//! this table, which marks the peer dirty. Only dirty peers are republished and rescheduled.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use super::{dial::Balancing, peer::Peer};
use crate::{
    runtime::{link::Link, shared::PeerKey},
    types::{NodeInfo, Region},
};

/// Sorts before every other address.
const MIN_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Peers by their keys, and when to dial them.
#[derive(Debug)]
pub(super) struct PeerTable {
    /// The region of this node.
    region: Region,
    /// Boxed, because a map may reserve room for twice as many values as it holds.
    peers: BTreeMap<PeerKey, Box<Peer>>,
    /// Peers that may have changed since they were last scheduled.
    dirty: BTreeSet<PeerKey>,
    /// Peers that may have changed since they were last published.
    unpublished: BTreeSet<PeerKey>,
    dials: Dials,
    /// Pairs of the peer where a node is linked and an address that led to the node. Entries may be
    /// stale.
    aliases: BTreeSet<(PeerKey, SocketAddr)>,
    /// When readiness stops waiting for the dialed peers. Not tracked once the node is ready.
    readiness_deadlines: BTreeSet<Duration>,
    is_ready: bool,
}

impl PeerTable {
    /// Creates the table of a node in `region`. Peers in that region are dialed first.
    pub(super) fn new(region: Region) -> Self {
        PeerTable {
            region,
            peers: BTreeMap::new(),
            dirty: BTreeSet::new(),
            unpublished: BTreeSet::new(),
            dials: Dials::default(),
            aliases: BTreeSet::new(),
            readiness_deadlines: BTreeSet::new(),
            is_ready: false,
        }
    }

    pub(super) fn get(&self, key: impl Into<PeerKey>) -> Option<&Peer> {
        self.peers.get(&key.into()).map(|peer| &**peer)
    }

    /// Returns a peer, and marks it dirty.
    pub(super) fn get_mut(&mut self, key: impl Into<PeerKey>) -> Option<&mut Peer> {
        let key = key.into();
        let peer = self.peers.get_mut(&key)?;
        self.dirty.insert(key);
        Some(peer)
    }

    /// Returns a peer, and marks it dirty. Adds an empty peer if the key is new.
    pub(super) fn entry(&mut self, key: impl Into<PeerKey>) -> &mut Peer {
        let key = key.into();
        self.dirty.insert(key.clone());
        self.peers.entry(key).or_default()
    }

    /// Returns the key of the peer that holds a node's links: its address, unless it is a rival.
    pub(super) fn key_of(&self, node: &NodeInfo) -> PeerKey {
        let rival = PeerKey::rival(node);
        if self.peers.contains_key(&rival) { rival } else { node.addr().into() }
    }

    /// Returns the peer that holds a node's links.
    pub(super) fn of(&self, node: &NodeInfo) -> Option<&Peer> {
        self.get(self.key_of(node))
    }

    /// Returns the peer that holds a node's links, and marks it dirty.
    pub(super) fn of_mut(&mut self, node: &NodeInfo) -> Option<&mut Peer> {
        self.get_mut(self.key_of(node))
    }

    /// Whether a link to this boot is open.
    pub(super) fn is_linked(&self, node: &NodeInfo) -> bool {
        let link = self.of(node).and_then(Peer::link);
        link.is_some_and(|link| link.peer().id() == node.id())
    }

    /// Returns the rivals of the boot that holds an address, in the order in which they were linked.
    pub(super) fn rivals(&self, addr: SocketAddr) -> Vec<PeerKey> {
        let after = (Bound::Excluded(PeerKey::from(addr)), Bound::Unbounded);
        let rivals = self.peers.range(after).take_while(|(key, _)| key.addr() == addr);
        let mut rivals: Vec<_> = rivals.map(|(key, peer)| (peer.linked_at(), key)).collect();
        rivals.sort();
        rivals.into_iter().map(|(_, key)| key.clone()).collect()
    }

    /// Records that the node found at `addr` is linked as the peer `target`. `next_ask` is when to look
    /// for other nodes at `addr`.
    pub(super) fn set_alias(
        &mut self,
        addr: SocketAddr,
        target: PeerKey,
        next_ask: impl FnOnce(Balancing) -> Duration,
    ) {
        self.entry(addr).set_alias_of(target.clone(), next_ask);
        self.aliases.insert((target, addr));
    }

    pub(super) fn remove(&mut self, key: impl Into<PeerKey>) -> Option<Peer> {
        let key = key.into();
        let removed = self.peers.remove(&key).map(|peer| *peer);
        self.dirty.insert(key);
        removed
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values().map(|peer| &**peer)
    }

    /// All links, including those that are draining.
    pub(super) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.peers.values().flat_map(|peer| peer.links().iter())
    }

    /// Returns whether the peer is an alias of another peer where its node is linked.
    pub(super) fn is_linked_alias(&self, peer: &Peer) -> bool {
        self.alias_target(peer).is_some_and(|target| target.link().is_some())
    }

    /// Whether readiness no longer needs to wait for an address.
    pub(super) fn is_settled(&self, addr: SocketAddr, now: Duration) -> bool {
        let Some(peer) = self.get(addr) else { return true };
        peer.is_settled(now) || self.alias_target(peer).is_some_and(|target| target.is_settled(now))
    }

    /// Returns when the node at an address first synced.
    pub(super) fn synced_at(&self, addr: SocketAddr) -> Option<Duration> {
        let peer = self.get(addr)?;
        peer.synced_at().or_else(|| self.alias_target(peer)?.synced_at())
    }

    /// Whether the last attempt to dial an address failed.
    pub(super) fn has_failed(&self, addr: SocketAddr) -> bool {
        self.get(addr).is_some_and(|peer| peer.no_support().is_some())
    }

    /// Returns when to dial next.
    pub(super) fn next_dial(&mut self) -> Option<Duration> {
        self.reschedule();
        self.dials.next()
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

    /// Returns up to `at_most` addresses to dial at `now`, sorted by address. Seeds and nodes in
    /// this node's region take precedence.
    pub(super) fn due_dials(&mut self, now: Duration, at_most: usize) -> Vec<SocketAddr> {
        self.reschedule();
        let mut due: Vec<SocketAddr> = self.dials.due(now).take(at_most).collect();
        due.sort_unstable();
        due
    }

    /// Takes the peers that may have changed since the last call.
    pub(super) fn take_unpublished(&mut self) -> BTreeSet<PeerKey> {
        self.reschedule();
        std::mem::take(&mut self.unpublished)
    }

    /// Removes the peers among `keys` that are not worth remembering.
    pub(super) fn remove_unknown(&mut self, keys: &BTreeSet<PeerKey>) {
        for key in keys {
            if self.get(key).is_some_and(|peer| !peer.is_known()) {
                self.remove(key);
            }
        }
    }

    /// Returns the peer to which the address of `peer` led, if its node advertises another address.
    fn alias_target(&self, peer: &Peer) -> Option<&Peer> {
        self.get(peer.alias_of()?)
    }

    /// Reschedules the dirty peers and their aliases, which depend on the links of those peers.
    fn reschedule(&mut self) {
        while let Some(key) = self.dirty.pop_first() {
            let aliases = self.aliases.range((key.clone(), MIN_ADDR)..);
            let aliases = aliases.take_while(|(target, _)| *target == key);
            let aliases: Vec<SocketAddr> = aliases.map(|&(_, alias)| alias).collect();
            for alias in aliases {
                if self.get(alias).is_some_and(|peer| peer.alias_of() == Some(&key)) {
                    self.reschedule_one(alias.into());
                } else {
                    self.aliases.remove(&(key.clone(), alias));
                }
            }
            self.reschedule_one(key);
        }
    }

    fn reschedule_one(&mut self, key: PeerKey) {
        let peer = self.peers.get(&key).map(|peer| &**peer);
        if !self.is_ready {
            self.readiness_deadlines.extend(peer.and_then(Peer::readiness_deadline));
        }
        if !key.is_rival() {
            let next = peer.and_then(|peer| match self.is_linked_alias(peer) {
                true => peer.next_ask(),
                false => peer.next_dial(),
            });
            let is_near = |peer: &Peer| {
                let region = peer.info().map(NodeInfo::region);
                peer.is_seed() || region == Some(&self.region)
            };
            let distance = if peer.is_some_and(is_near) { Distance::Near } else { Distance::Far };
            self.dials.set(key.addr(), next.map(|at| (distance, at)));
        }
        self.unpublished.insert(key);
    }
}

/// The priority with which addresses are dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    /// Seeds, and nodes in the region of this node.
    Near,
    Far,
}

/// The addresses to dial, and when.
#[derive(Debug, Default)]
struct Dials {
    by_time: BTreeSet<(Distance, Duration, SocketAddr)>,
    /// The contents of `by_time`, by address.
    by_addr: BTreeMap<SocketAddr, (Distance, Duration)>,
}

impl Dials {
    /// Sets when to dial an address. With `None`, it is not dialed.
    fn set(&mut self, addr: SocketAddr, next: Option<(Distance, Duration)>) {
        let before = match next {
            Some(next) => self.by_addr.insert(addr, next),
            None => self.by_addr.remove(&addr),
        };
        if before != next {
            before.map(|(distance, at)| self.by_time.remove(&(distance, at, addr)));
            next.map(|(distance, at)| self.by_time.insert((distance, at, addr)));
        }
    }

    /// Returns when the next address is due.
    fn next(&self) -> Option<Duration> {
        let first = |distance| self.of(distance).next().map(|(at, _)| at);
        [Distance::Near, Distance::Far].into_iter().filter_map(first).min()
    }

    /// Returns the addresses that are due at `now`, nearest first.
    fn due(&self, now: Duration) -> impl Iterator<Item = SocketAddr> {
        let due = move |distance| self.of(distance).take_while(move |(at, _)| *at <= now);
        due(Distance::Near).chain(due(Distance::Far)).map(|(_, addr)| addr)
    }

    fn of(&self, distance: Distance) -> impl Iterator<Item = (Duration, SocketAddr)> {
        let range = self.by_time.range((distance, Duration::ZERO, MIN_ADDR)..);
        range.take_while(move |(at, ..)| *at == distance).map(|&(_, at, addr)| (at, addr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{runtime::link::DialError, types::NodeId};

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn key(port: u16) -> PeerKey {
        addr(port).into()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn only_dirty_peers_and_their_aliases_are_unpublished() {
        let mut peers = PeerTable::new(Region::LOCAL);
        (1..=3).for_each(|port| peers.entry(addr(port)).set_seed(true));
        peers.set_alias(addr(2), addr(1).into(), |_| ms(0));
        assert_eq!(peers.take_unpublished(), [1, 2, 3].map(key).into());
        assert_eq!(peers.take_unpublished(), BTreeSet::new());
        assert!(peers.get_mut(addr(1)).is_some());
        assert_eq!(peers.take_unpublished(), [1, 2].map(key).into());
    }

    #[test]
    fn an_address_is_dialed_when_it_is_due_and_no_attempt_is_in_progress() {
        let mut peers = PeerTable::new(Region::LOCAL);
        [2, 1].into_iter().for_each(|port| peers.entry(addr(port)).set_seed(true));
        assert_eq!(peers.due_dials(ms(0), 9), [1, 2].map(addr));
        [1, 2].into_iter().for_each(|port| assert!(peers.entry(addr(port)).begin_dial(ms(0))));
        assert_eq!(peers.next_dial(), None);
        peers.entry(addr(2)).on_dial_failed(ms(10), &DialError::ConnectTimeout, 512);
        assert_eq!(peers.next_dial(), Some(ms(260)));
        assert_eq!(
            (peers.due_dials(ms(259), 9), peers.due_dials(ms(260), 9)),
            (vec![], vec![addr(2)])
        );
    }

    /// For example, an attempt that the previous boot ended when it stopped.
    #[test]
    fn a_failed_attempt_that_began_before_a_boot_was_listed_does_not_count_against_it() {
        let boot = |boot| NodeInfo::new(NodeId::new("n", boot), Region::from("iad"), addr(1));
        let mut peers = PeerTable::new(Region::LOCAL);
        peers.entry(addr(1)).on_member_up(ms(0), boot(1), ms(0));
        assert!(peers.entry(addr(1)).begin_dial(ms(1)));
        let peer = peers.entry(addr(1));
        peer.on_member_up(ms(2_000), boot(2), ms(3_000));
        assert_eq!(peer.take_unverified(), None);
        let failed = DialError::ClosedDuringHandshake;
        assert_eq!(peer.on_dial_failed(ms(2_001), &failed, 512), None);
        assert!(!peer.is_disconnected() && peer.awaits_dial());
        assert_eq!(peer.next_dial(), Some(ms(3_000)));
        assert!(peer.begin_dial(ms(3_000)));
        assert_eq!(peer.take_unverified(), Some(boot(2)));
        assert!(peer.on_dial_failed(ms(3_001), &failed, 512).is_some());
        assert!(peer.is_disconnected());
    }

    #[test]
    fn a_peer_that_nothing_lists_is_removed() {
        let mut peers = PeerTable::new(Region::LOCAL);
        peers.entry(addr(1)).set_seed(true);
        peers.entry(addr(2));
        let dirty = peers.take_unpublished();
        peers.remove_unknown(&dirty);
        assert!(peers.get(addr(1)).is_some() && peers.get(addr(2)).is_none());
        assert_eq!(peers.take_unpublished(), [key(2)].into());
    }

    #[test]
    fn seeds_and_nodes_of_the_own_region_are_dialed_first() {
        let mut peers = PeerTable::new(Region::from("iad"));
        let regions = ["hkg", "iad", "syd", "iad"];
        for (port, region) in (1..).zip(regions) {
            let id = NodeId::new("n", u64::from(port));
            let node = NodeInfo::new(id, Region::from(region), addr(port));
            peers.entry(addr(port)).on_member_up(ms(0), node, ms(u64::from(port)));
        }
        peers.entry(addr(5)).set_seed(true);
        assert_eq!(peers.next_dial(), Some(ms(0)));
        assert_eq!(peers.due_dials(ms(9), 3), [2, 4, 5].map(addr));
        assert_eq!(peers.due_dials(ms(9), 4), [1, 2, 4, 5].map(addr));
        assert_eq!(peers.due_dials(ms(1), 9), [1, 5].map(addr));
        assert_eq!(peers.due_dials(ms(9), 0), []);
    }

    #[test]
    fn a_member_that_goes_down_is_forgotten_though_another_boot_was_described_there() {
        let mut peers = PeerTable::new(Region::LOCAL);
        let boot = |boot| NodeInfo::new(NodeId::new("n", boot), Region::LOCAL, addr(1));
        for (up, down) in [(1, 2), (2, 1)] {
            let peer = peers.entry(addr(1));
            peer.on_member_up(ms(0), boot(1), ms(0));
            peer.on_member_up(ms(0), boot(2), ms(0));
            peer.on_member_down(boot(up).id());
            peer.on_member_down(boot(down).id());
            assert!(!peers.get(addr(1)).unwrap().is_known());
        }
    }
}
