//! Where a node's first addresses come from: its seeds, and what their names resolve to.
//!
//! A state machine without a clock, a resolver or a socket: time and answers come in, the names to
//! ask come out. Whether anyone lives at an address, and who, is not decided here; names only ever
//! add addresses, and what takes one away again is that for [`FORGET_AFTER`] it was neither listed
//! nor reached.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use crate::config::Seed;

/// Between two questions for a name, while this node is alone; libcluster's pace.
const POLL_ALONE: Duration = Duration::from_secs(5);

/// The longest time between two questions for a name, in company.
const POLL_IN_COMPANY: Duration = Duration::from_secs(60);

/// Between a failed question and the next, until [`GIVE_UP_FIRST`] has passed: a machine's resolver
/// may come up a moment after its first process.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// How long a name may fail before the first answer is complete without it.
const GIVE_UP_FIRST: Duration = Duration::from_secs(5);

/// How long an address is kept that is neither listed any more nor reached.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(10 * 60);

/// The seeds of one node and the addresses known through them.
///
/// Every `now` is the time since any one fixed moment, and never goes back.
#[derive(Debug)]
pub(crate) struct Discovery {
    names: BTreeMap<String, Name>,
    addresses: BTreeMap<SocketAddr, Address>,
    own: BTreeSet<SocketAddr>,
    alone: bool,
    first_answer: Option<BTreeSet<SocketAddr>>,
}

/// What there is to do at some moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// The names to look up, as `host:port`. Each is answered with [`Discovery::resolved`], and not
    /// asked again before.
    pub(crate) resolve: Vec<String>,
    /// The addresses that were just forgotten, and need no more dialling.
    pub(crate) forgotten: Vec<SocketAddr>,
}

#[derive(Debug, Default)]
struct Name {
    first_asked: Option<Duration>,
    /// Whether a question is under way.
    asking: bool,
    /// When to ask next, unless a question is under way.
    due: Duration,
    last_answer: Duration,
    /// The time between the last two questions, which doubles in company.
    interval: Duration,
    /// Whether it ever resolved.
    resolved: bool,
    /// The last answer that was no failure. It stands while the resolver fails: not knowing whether
    /// an address is listed is no reason to forget it.
    listed: BTreeSet<SocketAddr>,
    failing: bool,
}

#[derive(Debug, Default)]
struct Address {
    /// Whether it is a seed itself, and so listed for ever.
    is_seed: bool,
    /// Since when no name lists it.
    unlisted: Option<Duration>,
    reached: Option<Duration>,
}

impl Discovery {
    /// A node that is alone so far, with these seeds. Of them, and of all answers, the addresses in
    /// `own` are this node and are ignored.
    pub(crate) fn new(
        seeds: impl IntoIterator<Item = Seed>,
        own: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let mut discovery = Discovery {
            names: BTreeMap::new(),
            addresses: BTreeMap::new(),
            own: own.into_iter().collect(),
            alone: true,
            first_answer: None,
        };
        for seed in seeds {
            match seed {
                Seed::Addr(addr) if discovery.own.contains(&addr) => {}
                Seed::Addr(addr) => {
                    let seed = Address { is_seed: true, ..Address::default() };
                    discovery.addresses.insert(addr, seed);
                }
                Seed::Name { .. } => {
                    discovery.names.insert(seed.to_string(), Name::default());
                }
            }
        }
        discovery.complete_first_answer(Duration::ZERO);
        discovery
    }

    /// What to do at `now`. To be called at [`next_due`](Discovery::next_due), or at any time.
    pub(crate) fn due(&mut self, now: Duration) -> Due {
        let mut resolve = Vec::new();
        for (name, state) in &mut self.names {
            if !state.asking && state.due <= now {
                state.asking = true;
                state.first_asked.get_or_insert(now);
                resolve.push(name.clone());
            }
        }
        self.complete_first_answer(now);
        Due { resolve, forgotten: self.forget(now) }
    }

    /// When [`due`](Discovery::due) next has something to do; none while that takes an answer.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let questions = self.names.values().filter(|name| !name.asking).map(|name| name.due);
        let first = self.names.values().filter_map(|name| match self.first_answer {
            None if !name.resolved => Some(name.first_asked? + GIVE_UP_FIRST),
            _ => None,
        });
        let endings = self.addresses.values().filter_map(Address::forgotten_at);
        questions.chain(first).chain(endings).min()
    }

    /// Takes the answer for `name`: its addresses, or why there is none. Returns the addresses that
    /// were not known before.
    pub(crate) fn resolved(
        &mut self,
        now: Duration,
        name: &str,
        answer: Result<Vec<SocketAddr>, String>,
    ) -> Vec<SocketAddr> {
        let Some(state) = self.names.get_mut(name) else { return Vec::new() };
        state.schedule(now, self.alone, answer.is_ok());
        let mut added = Vec::new();
        match answer {
            Ok(answer) => {
                state.resolved = true;
                state.failing = false;
                state.listed = answer
                    .into_iter()
                    .filter(|addr| can_be_a_node(addr) && !self.own.contains(addr))
                    .collect();
                for &addr in &state.listed {
                    self.addresses.entry(addr).or_insert_with(|| {
                        added.push(addr);
                        Address::default()
                    });
                }
                self.update_listed(now);
            }
            Err(_) => state.failing = true,
        }
        self.complete_first_answer(now);
        added
    }

    /// Notes that a node answered at `addr`. To be called for as long as it does, at least once in
    /// [`FORGET_AFTER`]; other addresses than those known here are ignored.
    pub(crate) fn reached(&mut self, now: Duration, addr: SocketAddr) {
        if let Some(address) = self.addresses.get_mut(&addr) {
            address.reached = Some(now);
        }
    }

    /// Notes that `addr` turned out to be this node itself, as a handshake may show.
    pub(crate) fn is_self(&mut self, addr: SocketAddr) {
        self.own.insert(addr);
        self.addresses.remove(&addr);
        for name in self.names.values_mut() {
            name.listed.remove(&addr);
        }
        if let Some(first) = &mut self.first_answer {
            first.remove(&addr);
        }
    }

    /// Says whether this node knows of no other one that is up. Alone, it asks every 5 s; in
    /// company it asks less and less often, down to once a minute.
    pub(crate) fn set_alone(&mut self, alone: bool) {
        if alone && !self.alone {
            for name in self.names.values_mut() {
                name.interval = POLL_ALONE;
                name.due = name.due.min(name.last_answer + POLL_ALONE);
            }
        }
        self.alone = alone;
    }

    /// Every address known, in order, without this node's own.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.keys().copied()
    }

    /// The addresses of the first answer, once every name has resolved or failed for 5 s: those
    /// that [`ready`](crate::runtime::node::Node::ready) waits for. It does not grow later.
    pub(crate) fn first_answer(&self) -> Option<&BTreeSet<SocketAddr>> {
        self.first_answer.as_ref()
    }

    /// Whether the last answer for `name` was a failure.
    pub(crate) fn is_failing(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|state| state.failing)
    }

    fn complete_first_answer(&mut self, now: Duration) {
        let complete = |name: &Name| {
            name.resolved || name.first_asked.is_some_and(|asked| now >= asked + GIVE_UP_FIRST)
        };
        if self.first_answer.is_none() && self.names.values().all(complete) {
            self.first_answer = Some(self.addresses.keys().copied().collect());
        }
    }

    fn update_listed(&mut self, now: Duration) {
        for (addr, address) in &mut self.addresses {
            if address.is_seed || self.names.values().any(|name| name.listed.contains(addr)) {
                address.unlisted = None;
            } else {
                address.unlisted.get_or_insert(now);
            }
        }
    }

    fn forget(&mut self, now: Duration) -> Vec<SocketAddr> {
        let mut forgotten = Vec::new();
        self.addresses.retain(|&addr, address| {
            let keep = address.forgotten_at().is_none_or(|at| now < at);
            if !keep {
                forgotten.push(addr);
            }
            keep
        });
        forgotten
    }
}

impl Name {
    /// Sets the time of the next question, after an answer at `now`.
    fn schedule(&mut self, now: Duration, alone: bool, succeeded: bool) {
        let is_first =
            !self.resolved && self.first_asked.is_none_or(|asked| now < asked + GIVE_UP_FIRST);
        self.interval = if !succeeded && is_first {
            RETRY_FIRST
        } else if alone {
            POLL_ALONE
        } else {
            (self.interval * 2).clamp(POLL_ALONE, POLL_IN_COMPANY)
        };
        self.asking = false;
        self.last_answer = now;
        self.due = now + self.interval;
    }
}

impl Address {
    fn forgotten_at(&self) -> Option<Duration> {
        Some(self.unlisted?.max(self.reached.unwrap_or_default()) + FORGET_AFTER)
    }
}

/// Resolvers that block a name answer with the unspecified address, which would reach this node.
fn can_be_a_node(addr: &SocketAddr) -> bool {
    !addr.ip().is_unspecified() && addr.port() != 0
}

#[cfg(test)]
mod tests;
