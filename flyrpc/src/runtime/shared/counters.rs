//! What a node counts for [`Stats`](crate::Stats).

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{telemetry::CallStatus, types::GossipStats};

/// Counters of rare and of frequent occurrences.
#[derive(Debug)]
pub(crate) struct Counters {
    /// The calls of this node, by the index of their status.
    calls: [AtomicU64; CallStatus::COUNT],
    rare: Mutex<RareCounts>,
}

/// What the cluster task and handshakes count, which is rare enough for a lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct RareCounts {
    pub(crate) dials: u64,
    pub(crate) handshakes: BTreeMap<&'static str, u64>,
    pub(crate) gossip: GossipStats,
}

impl Counters {
    pub(super) fn new() -> Self {
        Counters { calls: std::array::from_fn(|_| AtomicU64::new(0)), rare: Mutex::default() }
    }

    /// Counts a call of this node that has ended.
    #[inline]
    pub(crate) fn on_call(&self, status: CallStatus) {
        self.calls[status.index()].fetch_add(1, Relaxed);
    }

    /// Counts an attempt to dial a node.
    pub(crate) fn on_dial(&self) {
        self.rare().dials += 1;
    }

    /// Counts a handshake that ended with this result.
    pub(crate) fn on_handshake(&self, result: &'static str) {
        *self.rare().handshakes.entry(result).or_default() += 1;
    }

    /// Counts a datagram that is to be sent.
    pub(crate) fn on_datagram_sent(&self) {
        self.rare().gossip.sent += 1;
    }

    /// Counts a datagram that was received.
    pub(crate) fn on_datagram_received(&self) {
        self.rare().gossip.received += 1;
    }

    /// Counts a received datagram that was dropped for this reason.
    pub(crate) fn on_datagram_dropped(&self, reason: &'static str) {
        *self.rare().gossip.dropped.entry(reason).or_default() += 1;
    }

    /// Returns the calls by status, without those that are 0.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, u64> {
        let counts = CallStatus::all().zip(&self.calls);
        let counts = counts.map(|(status, count)| (status.as_str(), count.load(Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Returns a copy of the other counters.
    pub(crate) fn read_rare(&self) -> RareCounts {
        self.rare().clone()
    }

    fn rare(&self) -> MutexGuard<'_, RareCounts> {
        self.rare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
