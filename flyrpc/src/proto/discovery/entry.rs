//! The state that discovery keeps for each name, and for each address.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

/// The time between two lookups of a name while this node is alone. The same as in libcluster.
pub(super) const POLL_ALONE: Duration = Duration::from_secs(5);

/// Upper bound on the time between two lookups of a name while other nodes are known.
const POLL_MAX: Duration = Duration::from_secs(60);

/// The pause after a failed lookup, until [`INITIAL_TIMEOUT`] has passed. A machine's resolver may
/// become available shortly after its first process starts.
const RETRY_INITIAL: Duration = Duration::from_secs(1);

/// How long lookups of a name may fail before the initial addresses are complete without it.
pub(super) const INITIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an address is kept after it was last listed or reached.
const FORGET_AFTER: Duration = Duration::from_secs(10 * 60);

/// A name that is looked up periodically.
#[derive(Debug, Default)]
pub(super) struct NameEntry {
    first_lookup: Option<Duration>,
    in_progress: bool,
    /// When to look it up next, unless a lookup is in progress.
    next_lookup: Duration,
    last_result: Duration,
    /// The time between the last two lookups, which doubles while other nodes are known.
    interval: Duration,
    /// Whether a lookup has ever succeeded.
    has_resolved: bool,
    /// The error of the last lookup, if it failed.
    failure: Option<String>,
    /// The last successful result. It is kept while the resolver fails, because a failure does not show
    /// that an address is no longer listed.
    listed: BTreeSet<SocketAddr>,
}

impl NameEntry {
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub(super) fn lists(&self, addr: &SocketAddr) -> bool {
        self.listed.contains(addr)
    }

    pub(super) fn listed(&self) -> impl Iterator<Item = SocketAddr> {
        self.listed.iter().copied()
    }

    pub(super) fn unlist(&mut self, addr: &SocketAddr) {
        self.listed.remove(addr);
    }

    /// Starts a lookup if one is due, and returns whether it did.
    pub(super) fn poll_lookup(&mut self, now: Duration) -> bool {
        let due = self.next_lookup().is_some_and(|due| due <= now);
        if due {
            self.in_progress = true;
            self.first_lookup.get_or_insert(now);
        }
        due
    }

    /// Returns when the next lookup is due, or `None` while one is in progress.
    pub(super) fn next_lookup(&self) -> Option<Duration> {
        (!self.in_progress).then_some(self.next_lookup)
    }

    /// Handles a lookup that returned these addresses.
    pub(super) fn on_resolved(&mut self, now: Duration, alone: bool, listed: BTreeSet<SocketAddr>) {
        self.schedule(now, alone, true);
        self.has_resolved = true;
        self.failure = None;
        self.listed = listed;
    }

    /// Handles a failed lookup.
    pub(super) fn on_failed(&mut self, now: Duration, alone: bool, error: String) {
        self.schedule(now, alone, false);
        self.failure = Some(error);
    }

    /// Resets the interval to [`POLL_ALONE`], because this node has become alone.
    pub(super) fn on_alone(&mut self) {
        self.interval = POLL_ALONE;
        self.next_lookup = self.next_lookup.min(self.last_result + POLL_ALONE);
    }

    /// Returns when the initial addresses stop waiting for this name, or `None` if it has resolved or
    /// was never looked up.
    pub(super) fn initial_deadline(&self) -> Option<Duration> {
        if self.has_resolved { None } else { Some(self.first_lookup? + INITIAL_TIMEOUT) }
    }

    /// Returns whether the initial addresses no longer wait for this name.
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

/// An address that is listed, or was listed before.
#[derive(Debug, Default)]
pub(super) struct AddressEntry {
    /// Whether the address itself is a seed, and is therefore always considered listed.
    is_seed: bool,
    /// Since when no name lists the address.
    unlisted_since: Option<Duration>,
    last_reached: Option<Duration>,
}

impl AddressEntry {
    /// Creates the entry of an address that is a seed.
    pub(super) fn seed() -> Self {
        AddressEntry { is_seed: true, ..AddressEntry::default() }
    }

    pub(super) fn is_seed(&self) -> bool {
        self.is_seed
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

    /// Returns when the address will be forgotten, unless it is listed or reached before then.
    pub(super) fn forget_at(&self) -> Option<Duration> {
        let last_reached = self.last_reached.unwrap_or_default();
        Some(self.unlisted_since?.max(last_reached) + FORGET_AFTER)
    }
}
