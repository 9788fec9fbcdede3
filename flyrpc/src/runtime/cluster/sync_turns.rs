//! Bounds the number of syncs with peers in progress. Each sync takes time of the cluster task in
//! proportion to the number of members, and a peer can request any number of syncs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::types::NodeId;

/// Upper bound on the syncs in progress. The syncs of one peer run one after the other.
const MAX_SYNCS: usize = 4;

/// If at least this many peers are stored, peers without a sync are forgotten.
const MAX_IDLE_PEERS: usize = 64;

/// The turns of peers to sync, first come, first served.
pub(super) struct SyncTurns {
    all: Semaphore,
    of_peers: Mutex<BTreeMap<NodeId, Arc<Semaphore>>>,
}

/// The turn of one sync. It ends when this value is dropped.
pub(super) struct SyncTurn<'a> {
    _of_peer: OwnedSemaphorePermit,
    _of_all: SemaphorePermit<'a>,
}

impl SyncTurns {
    pub(super) fn new() -> Self {
        SyncTurns { all: Semaphore::new(MAX_SYNCS), of_peers: Mutex::default() }
    }

    /// Waits for the turn of a sync with `peer`. Dropping the future gives up the turn.
    pub(super) async fn take(&self, peer: &NodeId) -> SyncTurn<'_> {
        const OPEN: &str = "these semaphores are never closed";
        let of_peer = self.of_peer(peer).acquire_owned().await.expect(OPEN);
        let of_all = self.all.acquire().await.expect(OPEN);
        SyncTurn { _of_peer: of_peer, _of_all: of_all }
    }

    fn of_peer(&self, peer: &NodeId) -> Arc<Semaphore> {
        let mut peers = self.of_peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= MAX_IDLE_PEERS {
            peers.retain(|_, of_peer| Arc::strong_count(of_peer) > 1);
        }
        Arc::clone(peers.entry(peer.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn id(boot: u64) -> NodeId {
        NodeId::new("n", boot)
    }

    #[test]
    fn a_peer_has_one_turn_at_a_time_and_keeps_none_from_others() {
        let turns = SyncTurns::new();
        let greedy = id(1);
        let first = turns.take(&greedy).now_or_never().unwrap();
        let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(turns.take(&greedy))).collect();
        assert!(waiting.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()));
        let others: Vec<_> =
            (2..5).map(|boot| turns.take(&id(boot)).now_or_never().unwrap()).collect();
        assert!(turns.take(&id(9)).now_or_never().is_none());
        drop((first, others));
        let second = waiting[0].as_mut().now_or_never();
        assert!(second.is_some() && waiting[1].as_mut().now_or_never().is_none());
        drop(second);
        assert!(waiting[1].as_mut().now_or_never().is_some());
    }

    #[test]
    fn peers_without_a_sync_are_forgotten() {
        let turns = SyncTurns::new();
        let kept = turns.take(&id(0)).now_or_never().unwrap();
        (1..1_000).for_each(|boot| drop(turns.take(&id(boot)).now_or_never().unwrap()));
        assert!(turns.of_peers.lock().unwrap().len() <= MAX_IDLE_PEERS);
        assert!(turns.take(&id(0)).now_or_never().is_none());
        drop(kept);
    }
}
