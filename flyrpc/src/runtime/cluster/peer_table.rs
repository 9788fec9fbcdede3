//! All addresses that the cluster task knows, and which of them are to be looked at again.
//!
//! A node of a large cluster learns of something about one peer much more often than about all. So
//! whatever may change a peer goes through here, and only what was touched is published again, or
//! given another time to be dialled.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    net::SocketAddr,
    ops::Bound,
    time::Duration,
};

use super::peer::Peer;

/// Peers by their addresses.
#[derive(Debug, Default)]
pub(super) struct PeerTable {
    all: BTreeMap<SocketAddr, Peer>,
    /// Those that may have changed since they were last scheduled.
    touched: BTreeSet<SocketAddr>,
    /// Those that may have changed since they were last published.
    unpublished: BTreeSet<SocketAddr>,
    /// When to dial whom.
    dials: BTreeSet<(Duration, SocketAddr)>,
    dialled_at: BTreeMap<SocketAddr, Duration>,
    /// Each address where a node is reached, with another address that led to it. May list more
    /// than there are.
    aliases: BTreeSet<(SocketAddr, SocketAddr)>,
    /// When those that were dialled are settled however that ends, until all are.
    settles: BTreeSet<Duration>,
    all_settled: bool,
}

impl PeerTable {
    pub(super) fn get(&self, addr: SocketAddr) -> Option<&Peer> {
        self.all.get(&addr)
    }

    /// The peer at an address, to be changed.
    pub(super) fn get_mut(&mut self, addr: SocketAddr) -> Option<&mut Peer> {
        let peer = self.all.get_mut(&addr)?;
        self.touched.insert(addr);
        Some(peer)
    }

    /// The peer at an address, to be changed; nothing was known of it if it is new.
    pub(super) fn at(&mut self, addr: SocketAddr) -> &mut Peer {
        self.touched.insert(addr);
        self.all.entry(addr).or_default()
    }

    /// Notes that an address leads to the node at another.
    pub(super) fn set_alias(&mut self, addr: SocketAddr, of: SocketAddr) {
        self.at(addr).alias_of = Some(of);
        self.aliases.insert((of, addr));
    }

    pub(super) fn remove(&mut self, addr: SocketAddr) {
        self.touched.insert(addr);
        self.all.remove(&addr);
    }

    pub(super) fn values(&self) -> btree_map::Values<'_, SocketAddr, Peer> {
        self.all.values()
    }

    /// Whether the node at an address is linked through the address where it says that it is.
    pub(super) fn is_reached_elsewhere(&self, peer: &Peer) -> bool {
        let elsewhere = peer.alias_of.and_then(|addr| self.get(addr));
        elsewhere.is_some_and(|peer| peer.link().is_some())
    }

    /// When to dial next.
    pub(super) fn next_dial(&mut self) -> Option<Duration> {
        self.schedule();
        self.dials.first().map(|&(at, _)| at)
    }

    /// When the next peer is settled however that ends, after `now`.
    pub(super) fn next_settles(&mut self, now: Duration) -> Option<Duration> {
        self.schedule();
        self.settles.range((Bound::Excluded(now), Bound::Unbounded)).next().copied()
    }

    /// Stops to keep in mind when peers are settled.
    pub(super) fn are_settled(&mut self) {
        self.all_settled = true;
        self.settles.clear();
    }

    /// Whom to dial at `now`, in order of their addresses.
    pub(super) fn due(&mut self, now: Duration) -> Vec<SocketAddr> {
        self.schedule();
        let due = self.dials.iter().take_while(|(at, _)| *at <= now);
        let mut due: Vec<SocketAddr> = due.map(|&(_, addr)| addr).collect();
        due.sort_unstable();
        due
    }

    /// The addresses where something may have changed since they were last taken.
    pub(super) fn take_unpublished(&mut self) -> BTreeSet<SocketAddr> {
        self.schedule();
        std::mem::take(&mut self.unpublished)
    }

    /// Forgets those of `addrs` of which there is nothing worth remembering.
    pub(super) fn forget_unknown(&mut self, addrs: &BTreeSet<SocketAddr>) {
        for &addr in addrs {
            if self.get(addr).is_some_and(|peer| !peer.is_known()) {
                self.remove(addr);
            }
        }
    }

    /// Takes note of what was touched.
    fn schedule(&mut self) {
        while let Some(addr) = self.touched.pop_first() {
            self.schedule_at(addr);
            self.unpublished.insert(addr);
            let aliases = self.aliases.range((addr, LEAST)..).take_while(|(of, _)| *of == addr);
            let aliases: Vec<SocketAddr> = aliases.map(|&(_, alias)| alias).collect();
            for alias in aliases {
                if self.get(alias).is_some_and(|peer| peer.alias_of == Some(addr)) {
                    self.schedule_at(alias);
                    self.unpublished.insert(alias);
                } else {
                    self.aliases.remove(&(addr, alias));
                }
            }
        }
    }

    fn schedule_at(&mut self, addr: SocketAddr) {
        let peer = self.all.get(&addr);
        if !self.all_settled {
            self.settles.extend(peer.and_then(Peer::settles_at));
        }
        let peer = peer.filter(|peer| !self.is_reached_elsewhere(peer));
        let next = peer.and_then(Peer::next_dial);
        let before = match next {
            Some(at) => self.dialled_at.insert(addr, at),
            None => self.dialled_at.remove(&addr),
        };
        if before != next {
            before.map(|at| self.dials.remove(&(at, addr)));
            next.map(|at| self.dials.insert((at, addr)));
        }
    }
}

/// No address is less.
const LEAST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
