//! The seeds of one node, and the addresses known through them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use super::entry::{AddressEntry, NameEntry};
use crate::{config::Seed, types::is_node_addr};

/// The seeds of one node, and the addresses known through them.
///
/// Every `now` is the time since one fixed moment, and never decreases.
#[derive(Debug)]
pub(crate) struct Discovery {
    names: BTreeMap<String, NameEntry>,
    addresses: BTreeMap<SocketAddr, AddressEntry>,
    /// Addresses that reach this node itself.
    local: BTreeSet<SocketAddr>,
    is_alone: bool,
    initial_addresses: Option<BTreeSet<SocketAddr>>,
}

/// The actions that are due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// The names to look up, as `host:port`. Pass each result to [`Discovery::on_resolved`]. A name is
    /// not due again until its result has been passed.
    pub(crate) resolve: Vec<String>,
    /// The addresses that were just forgotten and no longer need to be dialed.
    pub(crate) forgotten: Vec<SocketAddr>,
}

impl Discovery {
    /// Creates the discovery of a node that is alone so far. Addresses in `local` reach this node itself,
    /// and are ignored wherever they occur.
    pub(crate) fn new(
        seeds: impl IntoIterator<Item = Seed>,
        local: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let mut discovery = Discovery {
            names: BTreeMap::new(),
            addresses: BTreeMap::new(),
            local: local.into_iter().collect(),
            is_alone: true,
            initial_addresses: None,
        };
        for seed in seeds {
            match seed {
                Seed::Addr(addr) if discovery.local.contains(&addr) => {}
                Seed::Addr(addr) => {
                    discovery.addresses.insert(addr, AddressEntry::seed());
                }
                Seed::Name { .. } => {
                    discovery.names.insert(seed.to_string(), NameEntry::default());
                }
            }
        }
        discovery.complete_initial_addresses(Duration::ZERO);
        discovery
    }

    /// Returns the actions that are due at `now`. Call this at [`next_due`](Discovery::next_due). It may
    /// also be called at any other time.
    pub(crate) fn due(&mut self, now: Duration) -> Due {
        let due = self
            .names
            .iter_mut()
            .filter_map(|(name, entry)| entry.poll_lookup(now).then(|| name.clone()));
        let resolve = due.collect();
        self.complete_initial_addresses(now);
        Due { resolve, forgotten: self.forget(now) }
    }

    /// Returns when [`due`](Discovery::due) must be called next, or `None` if nothing is scheduled, for
    /// example because every lookup is in progress.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let lookups = self.names.values().filter_map(NameEntry::next_lookup);
        let initial = self.names.values().filter_map(NameEntry::initial_deadline);
        let initial = initial.filter(|_| self.initial_addresses.is_none());
        let forget = self.addresses.values().filter_map(AddressEntry::forget_at);
        lookups.chain(initial).chain(forget).min()
    }

    /// Returns whether there are seeds other than this node's own addresses.
    pub(crate) fn has_seeds(&self) -> bool {
        !self.names.is_empty() || !self.addresses.is_empty()
    }

    /// Handles the result of a lookup of `name`: its addresses, or the resolver's error. Returns the
    /// addresses that were not known before.
    pub(crate) fn on_resolved(
        &mut self,
        now: Duration,
        name: &str,
        result: Result<Vec<SocketAddr>, String>,
    ) -> Vec<SocketAddr> {
        let Some(entry) = self.names.get_mut(name) else { return Vec::new() };
        let mut added = Vec::new();
        match result {
            Ok(addrs) => {
                // Resolvers that block a name return the unspecified address.
                let usable = |addr: &SocketAddr| is_node_addr(*addr) && !self.local.contains(addr);
                let listed: BTreeSet<SocketAddr> = addrs.into_iter().filter(usable).collect();
                for &addr in &listed {
                    self.addresses.entry(addr).or_insert_with(|| {
                        added.push(addr);
                        AddressEntry::default()
                    });
                }
                entry.on_resolved(now, self.is_alone, listed);
                self.update_listed(now);
            }
            Err(error) => entry.on_failed(now, self.is_alone, error),
        }
        self.complete_initial_addresses(now);
        added
    }

    /// Records that a node was reached at `addr`. Call this at least once every ten minutes while it can
    /// be reached. Addresses that discovery does not know are ignored.
    pub(crate) fn on_reached(&mut self, now: Duration, addr: SocketAddr) {
        if let Some(entry) = self.addresses.get_mut(&addr) {
            entry.on_reached(now);
        }
    }

    /// Returns whether `addr` can only reach this node. It is either one of this node's own addresses,
    /// or a loopback address with the port of an own address on loopback.
    pub(crate) fn is_local(&self, addr: SocketAddr) -> bool {
        let is_on_loopback = |local: &SocketAddr| {
            let ip = local.ip().to_canonical();
            local.port() == addr.port() && (ip.is_loopback() || ip.is_unspecified())
        };
        self.local.contains(&addr)
            || (addr.ip().to_canonical().is_loopback() && self.local.iter().any(is_on_loopback))
    }

    /// Ignores `addr` from now on, because a handshake showed that it reaches this node itself.
    pub(crate) fn on_self(&mut self, addr: SocketAddr) {
        self.local.insert(addr);
        self.addresses.remove(&addr);
        for name in self.names.values_mut() {
            name.unlist(&addr);
        }
        if let Some(initial) = &mut self.initial_addresses {
            initial.remove(&addr);
        }
    }

    /// Sets whether this node is alone, that is, knows no other live node. While it is alone, names are
    /// looked up every 5 s. Otherwise the interval doubles with every lookup, up to one minute.
    pub(crate) fn set_alone(&mut self, is_alone: bool) {
        if is_alone && !self.is_alone {
            self.names.values_mut().for_each(NameEntry::on_alone);
        }
        self.is_alone = is_alone;
    }

    /// Returns every known address in order, except this node's own.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.keys().copied()
    }

    /// Returns the addresses that readiness waits for: all addresses that are known when every name has
    /// resolved or has failed for 5 s. Returns `None` before then. No address is added later.
    pub(crate) fn initial_addresses(&self) -> Option<&BTreeSet<SocketAddr>> {
        self.initial_addresses.as_ref()
    }

    /// Returns the other addresses of each name that lists `addr`. Returns none if `addr` itself is a
    /// seed.
    pub(crate) fn alternatives(&self, addr: SocketAddr) -> impl Iterator<Item = SocketAddr> {
        let is_seed = self.addresses.get(&addr).is_some_and(AddressEntry::is_seed);
        let names = self.names.values().filter(move |name| !is_seed && name.lists(&addr));
        names.flat_map(NameEntry::listed).filter(move |other| *other != addr)
    }

    /// Returns the names whose last lookup failed, each with the error.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().filter_map(|(name, entry)| Some((&**name, entry.failure()?)))
    }

    /// Returns whether the last lookup of `name` failed.
    pub(crate) fn is_failing(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|entry| entry.failure().is_some())
    }

    /// Returns when the last lookup of `name` ended.
    #[cfg(test)]
    pub(super) fn last_result(&self, name: &str) -> Duration {
        self.names[name].last_result()
    }

    fn complete_initial_addresses(&mut self, now: Duration) {
        if self.initial_addresses.is_none() && self.names.values().all(|name| name.is_settled(now))
        {
            self.initial_addresses = Some(self.addresses.keys().copied().collect());
        }
    }

    fn update_listed(&mut self, now: Duration) {
        for (addr, entry) in &mut self.addresses {
            entry.set_listed(now, self.names.values().any(|name| name.lists(addr)));
        }
    }

    fn forget(&mut self, now: Duration) -> Vec<SocketAddr> {
        let mut forgotten = Vec::new();
        self.addresses.retain(|&addr, entry| {
            let keep = entry.forget_at().is_none_or(|at| now < at);
            if !keep {
                forgotten.push(addr);
            }
            keep
        });
        forgotten
    }
}
