//! Bandwidth shapers, one for each path with limited bandwidth. A shaper transmits one message at a
//! time. While it is busy, other messages are queued and served in order. Streams send one segment at a
//! time, so a small message does not wait until a large message is complete.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    clock,
    ids::{ConnId, Path, Side},
    socket::Packet,
};

/// Upper bound on the bytes of a stream that are transmitted without interruption.
const MAX_SEGMENT: u64 = 16 * 1024;
/// Segments are smaller at a low bandwidth, so that a segment takes at most 50 ms.
const MIN_SEGMENTS_PER_SECOND: u64 = 20;

/// Upper bound on the time that a datagram is queued. It is dropped after a longer time.
const MAX_QUEUE_DELAY: Duration = Duration::from_secs(1);

/// The shapers that are busy, or were busy until recently.
#[derive(Default)]
pub(crate) struct Shapers(BTreeMap<Path, Shaper>);

struct Shaper {
    /// In bytes per second.
    bandwidth: u64,
    free_at: Instant,
    queue: VecDeque<QueuedSend>,
}

/// A sender that waits for a shaper.
pub(crate) enum QueuedSend {
    Stream { conn: ConnId, from: Side },
    Datagram { packet: Packet, since: Instant },
}

impl QueuedSend {
    fn has_expired(&self, now: Instant) -> bool {
        match self {
            QueuedSend::Stream { .. } => false,
            QueuedSend::Datagram { since, .. } => now > *since + MAX_QUEUE_DELAY,
        }
    }
}

impl Shapers {
    /// Returns whether a message must be queued.
    pub(crate) fn is_busy(&self, path: Path, now: Instant) -> bool {
        let shaper = self.0.get(&path);
        shaper.is_some_and(|shaper| shaper.free_at > now || !shaper.queue.is_empty())
    }

    /// Queues a sender that found the shaper busy.
    pub(crate) fn enqueue(&mut self, path: Path, send: QueuedSend) {
        let shaper = self.0.get_mut(&path).expect("a busy shaper is in the map");
        shaper.queue.push_back(send);
    }

    /// Starts to transmit on a free shaper, and returns when the shaper is free again.
    pub(crate) fn transmit(
        &mut self,
        path: Path,
        bytes: u64,
        bandwidth: u64,
        now: Instant,
    ) -> Instant {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bandwidth);
        let free_at = now + clock::duration(nanos);
        let new = || Shaper { bandwidth, free_at, queue: VecDeque::new() };
        let shaper = self.0.entry(path).or_insert_with(new);
        shaper.bandwidth = bandwidth;
        shaper.free_at = free_at;
        free_at
    }

    /// Returns the next queued sender of a shaper if the shaper is free. Removes the shaper if its queue
    /// is empty.
    pub(crate) fn dequeue(&mut self, path: Path, now: Instant) -> Option<QueuedSend> {
        let shaper = self.0.get_mut(&path).filter(|shaper| shaper.free_at <= now)?;
        while let Some(send) = shaper.queue.pop_front() {
            if !send.has_expired(now) {
                return Some(send);
            }
        }
        self.0.remove(&path);
        None
    }

    /// Frees the shapers whose bandwidth has changed, and returns their paths. A message that was sent
    /// at a low bandwidth must not delay other messages after the limit is lifted.
    pub(crate) fn free_changed(
        &mut self,
        now: Instant,
        bandwidth: impl Fn(Path) -> Option<u64>,
    ) -> Vec<Path> {
        let shapers = self.0.iter_mut();
        let changed = shapers.filter(|(path, shaper)| bandwidth(**path) != Some(shaper.bandwidth));
        let freed = changed.map(|(path, shaper)| {
            shaper.free_at = shaper.free_at.min(now);
            *path
        });
        freed.collect()
    }
}

/// Returns the upper bound on the bytes of a stream that are transmitted without interruption at this
/// bandwidth, in bytes per second.
pub(crate) fn max_segment(bandwidth: u64) -> usize {
    (bandwidth / MIN_SEGMENTS_PER_SECOND).clamp(1, MAX_SEGMENT) as usize
}
