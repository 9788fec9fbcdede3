//! The node's view of the cluster, as the cluster task last published it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use super::{peer_key::PeerKey, peer_snapshot::PeerSnapshot};
use crate::{proto::routing::Table, runtime::link::Link};

/// The published view of the cluster. The cluster task writes it, and all other parts read it.
pub(super) struct Published {
    table: ArcSwap<Table<Arc<Link>>>,
    /// Locked only while entries are copied in or out.
    peers: Mutex<BTreeMap<PeerKey, PeerSnapshot>>,
    /// Counts changes of the table and of the state of its links. It is separate from the channel,
    /// because reading a channel's value takes a lock.
    version: AtomicU64,
    /// Wakes waiting calls after each of these changes, in the order in which they began to wait. A `watch`
    /// channel wakes in a random order, so that a simulated run would not be repeatable.
    changed: Notify,
}

impl Published {
    pub(super) fn new() -> Self {
        Published {
            table: ArcSwap::from_pointee(Table::empty()),
            peers: Mutex::default(),
            version: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    pub(super) fn table(&self) -> Guard<Arc<Table<Arc<Link>>>> {
        self.table.load()
    }

    pub(super) fn peers(&self) -> Vec<PeerSnapshot> {
        self.lock_peers().values().cloned().collect()
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) async fn changed_since(&self, seen: u64) {
        loop {
            // Created before the version is read, so that no change in between is missed.
            let changed = self.changed.notified();
            if self.version() != seen {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn publish(
        &self,
        table: Option<Table<Arc<Link>>>,
        changes: Vec<(PeerKey, Option<PeerSnapshot>)>,
        links_changed: bool,
    ) {
        {
            let mut peers = self.lock_peers();
            for (key, change) in changes {
                match change {
                    Some(change) => peers.insert(key, change),
                    None => peers.remove(&key),
                };
            }
        }
        if table.is_none() && !links_changed {
            // Nothing has changed that a waiting call could use.
            return;
        }
        if let Some(table) = table {
            self.table.store(Arc::new(table));
        }
        self.version.fetch_add(1, Ordering::Release);
        self.changed.notify_waiters();
    }

    fn lock_peers(&self) -> MutexGuard<'_, BTreeMap<PeerKey, PeerSnapshot>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_call_could_use_wakes_waiting_calls() {
        let published = Published::new();
        let before = published.version();
        published.publish(None, Vec::new(), false);
        assert_eq!(published.version(), before);
        published.publish(Some(Table::empty()), Vec::new(), false);
        published.publish(None, Vec::new(), true);
        assert_eq!(published.version(), before + 2);
    }
}
