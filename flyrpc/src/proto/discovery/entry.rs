//! What discovery knows of one name, and of one address.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

/// The time between two lookups of a name while this node is alone; the same as libcluster's.
pub(super) const POLL_ALONE: Duration = Duration::from_secs(5);

/// The longest time between two lookups of a name while other nodes are known.
const POLL_MAX: Duration = Duration::from_secs(60);

/// The pause after a failed lookup until [`INITIAL_TIMEOUT`]: a machine's resolver may come up a
/// moment after its first process.
const RETRY_INITIAL: Duration = Duration::from_secs(1);

/// How long lookups of a name may fail before the initial addresses are complete without it.
pub(super) const INITIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an address is kept that is neither listed nor reached any more.
const FORGET_AFTER: Duration = Duration::from_secs(10 * 60);

/// A name to look up from time to time.
#[derive(Debug, Default)]
pub(super) struct NameEntry {
    first_lookup: Option<Duration>,
    in_progress: bool,
    /// When to look it up next, unless a lookup is in progress.
    next_lookup: Duration,
    last_result: Duration,
    /// The time between the last two lookups, which doubles while other nodes are known.
    interval: Duration,
    /// Whether it ever resolved.
    has_resolved: bool,
    is_failing: bool,
    /// The last successful result. It stands while the resolver fails: when it is unknown whether an
    /// address is listed, that is no reason to forget it.
    listed: BTreeSet<SocketAddr>,
}

impl NameEntry {
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing
    }

    pub(super) fn lists(&self, addr: &SocketAddr) -> bool {
        self.listed.contains(addr)
    }

    pub(super) fn unlist(&mut self, addr: &SocketAddr) {
        self.listed.remove(addr);
    }

    /// Starts a lookup, if one is due.
    pub(super) fn poll_lookup(&mut self, now: Duration) -> bool {
        let due = self.next_lookup().is_some_and(|due| due <= now);
        if due {
            self.in_progress = true;
            self.first_lookup.get_or_insert(now);
        }
        due
    }

    /// When the next lookup is due, unless one is in progress.
    pub(super) fn next_lookup(&self) -> Option<Duration> {
        (!self.in_progress).then_some(self.next_lookup)
    }

    /// A lookup succeeded, with these addresses.
    pub(super) fn on_resolved(&mut self, now: Duration, alone: bool, listed: BTreeSet<SocketAddr>) {
        self.schedule(now, alone, true);
        self.has_resolved = true;
        self.is_failing = false;
        self.listed = listed;
    }

    /// A lookup failed.
    pub(super) fn on_failed(&mut self, now: Duration, alone: bool) {
        self.schedule(now, alone, false);
        self.is_failing = true;
    }

    /// Restarts the pace of a node that is alone.
    pub(super) fn on_alone(&mut self) {
        self.interval = POLL_ALONE;
        self.next_lookup = self.next_lookup.min(self.last_result + POLL_ALONE);
    }

    /// When the initial addresses are complete without this name; `None` if it has resolved, or was
    /// never looked up.
    pub(super) fn initial_deadline(&self) -> Option<Duration> {
        if self.has_resolved { None } else { Some(self.first_lookup? + INITIAL_TIMEOUT) }
    }

    /// Whether the initial addresses need not wait for this name.
    pub(super) fn is_settled(&self, now: Duration) -> bool {
        self.has_resolved || self.initial_deadline().is_some_and(|deadline| deadline <= now)
    }

    #[cfg(test)]
    pub(super) fn last_result(&self) -> Duration {
        self.last_result
    }

    fn schedule(&mut self, now: Duration, alone: bool, succeeded: bool) {
        self.interval = if !succeeded && !self.is_settled(now) {
            RETRY_INITIAL
        } else if alone {
            POLL_ALONE
        } else {
            (self.interval * 2).clamp(POLL_ALONE, POLL_MAX)
        };
        self.in_progress = false;
        self.last_result = now;
        self.next_lookup = now + self.interval;
    }
}

/// An address that is listed, or was.
#[derive(Debug, Default)]
pub(super) struct AddressEntry {
    /// Whether it is itself a seed, and therefore always listed.
    is_seed: bool,
    /// Since when no name lists it.
    unlisted_since: Option<Duration>,
    last_reached: Option<Duration>,
}

impl AddressEntry {
    /// An address that was given as a seed.
    pub(super) fn seed() -> Self {
        AddressEntry { is_seed: true, ..AddressEntry::default() }
    }

    pub(super) fn on_reached(&mut self, now: Duration) {
        self.last_reached = Some(now);
    }

    /// Records whether a name lists the address.
    pub(super) fn set_listed(&mut self, now: Duration, is_listed: bool) {
        if self.is_seed || is_listed {
            self.unlisted_since = None;
        } else {
            self.unlisted_since.get_or_insert(now);
        }
    }

    /// When it will be forgotten, unless it is reached before.
    pub(super) fn forget_at(&self) -> Option<Duration> {
        let last_reached = self.last_reached.unwrap_or_default();
        Some(self.unlisted_since?.max(last_reached) + FORGET_AFTER)
    }
}
