//! Schedules anti-entropy syncs of the membership with peers, because gossip alone does not deliver
//! every member to every node.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use crate::types::NodeInfo;

/// The initial limit on syncs in flight.
const INITIAL_LIMIT: usize = 2;

/// The time between two syncs with a random peer.
const RANDOM_PERIOD: Duration = Duration::from_secs(30);

/// The time between two syncs with a random peer while the membership lists no other node although
/// links are open.
const RANDOM_PERIOD_ALONE: Duration = Duration::from_secs(5);

/// The peers to sync with, and the time of the next sync with a random one.
///
/// A node that joins is linked to many peers within a short time. If it synced with all of them at
/// the same time, each would send it all members. So it starts with a few syncs, and each response
/// raises the limit by one, as in TCP slow start. Peers that are asked later find that the node
/// already has their members, and after a few round trips all peers have been asked.
#[derive(Debug)]
pub(super) struct SyncSchedule {
    queue: VecDeque<SocketAddr>,
    queued: BTreeMap<SocketAddr, NodeInfo>,
    in_flight: usize,
    limit: usize,
    next_random: Duration,
}

impl SyncSchedule {
    pub(super) fn new(now: Duration) -> Self {
        SyncSchedule {
            queue: VecDeque::new(),
            queued: BTreeMap::new(),
            in_flight: 0,
            limit: INITIAL_LIMIT,
            next_random: now + RANDOM_PERIOD,
        }
    }

    /// Queues a sync with `node`. Replaces a node with the same address that is already queued.
    pub(super) fn enqueue(&mut self, node: NodeInfo) {
        let addr = node.addr();
        if self.queued.insert(addr, node).is_none() {
            self.queue.push_back(addr);
        }
    }

    /// Removes the node at an address from the queue. A sync in flight is not affected.
    pub(super) fn remove(&mut self, addr: SocketAddr) {
        if self.queued.remove(&addr).is_some() {
            self.queue.retain(|queued| *queued != addr);
        }
    }

    /// Returns the next node to sync with, if a sync may start now. Call
    /// [`on_ended`](Self::on_ended) when that sync has ended.
    pub(super) fn poll_start(&mut self) -> Option<NodeInfo> {
        while self.in_flight < self.limit {
            let addr = self.queue.pop_front()?;
            if let Some(node) = self.queued.remove(&addr) {
                self.in_flight += 1;
                return Some(node);
            }
        }
        None
    }

    /// Records that a sync has ended, successfully or not.
    pub(super) fn on_ended(&mut self) {
        self.in_flight -= 1;
        let idle = self.in_flight == 0 && self.queue.is_empty();
        self.limit = if idle { INITIAL_LIMIT } else { self.limit + 1 };
    }

    /// Returns when to queue a random peer next.
    pub(super) fn next_random(&self) -> Duration {
        self.next_random
    }

    /// Returns whether to queue a random peer at `now`. If so, schedules the next time.
    pub(super) fn poll_random(&mut self, now: Duration, is_alone: bool) -> bool {
        let period = if is_alone { RANDOM_PERIOD_ALONE } else { RANDOM_PERIOD };
        self.next_random = self.next_random.min(now + period);
        let due = self.next_random <= now;
        if due {
            self.next_random = now + period;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NodeId, Region};

    fn node(port: u16) -> NodeInfo {
        NodeInfo::new(NodeId::new("n", 1), Region::LOCAL, ([10, 0, 0, 1], port).into())
    }

    fn started(sync: &mut SyncSchedule) -> Vec<u16> {
        std::iter::from_fn(|| sync.poll_start()).map(|node| node.addr().port()).collect()
    }

    #[test]
    fn each_response_raises_the_limit_by_one_until_the_queue_is_empty() {
        let mut sync = SyncSchedule::new(Duration::ZERO);
        (1..=9).for_each(|port| sync.enqueue(node(port)));
        assert_eq!(started(&mut sync), [1, 2]);
        sync.on_ended();
        assert_eq!(started(&mut sync), [3, 4]);
        sync.on_ended();
        sync.on_ended();
        assert_eq!(started(&mut sync), [5, 6, 7, 8]);
        (0..5).for_each(|_| sync.on_ended());
        assert_eq!(started(&mut sync), [9]);
        sync.on_ended();
        (1..=9).for_each(|port| sync.enqueue(node(port)));
        assert_eq!(started(&mut sync), [1, 2]);
    }

    #[test]
    fn a_peer_is_queued_once_and_removed_once_it_has_synced() {
        let mut sync = SyncSchedule::new(Duration::ZERO);
        [1, 2, 3, 4, 3].into_iter().for_each(|port| sync.enqueue(node(port)));
        assert_eq!(started(&mut sync), [1, 2]);
        sync.remove(node(3).addr());
        sync.on_ended();
        assert_eq!(started(&mut sync), [4]);
    }

    #[test]
    fn a_random_peer_is_due_every_30_seconds_and_every_5_while_alone() {
        let mut sync = SyncSchedule::new(Duration::ZERO);
        let mut poll = |secs, is_alone| sync.poll_random(Duration::from_secs(secs), is_alone);
        assert_eq!([poll(29, false), poll(30, false), poll(59, false)], [false, true, false]);
        assert_eq!([poll(60, true), poll(64, true), poll(65, true)], [true, false, true]);
        assert_eq!([poll(70, false), poll(99, false), poll(100, false)], [true, false, true]);
    }
}
