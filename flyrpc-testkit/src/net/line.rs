//! Lines: ways of limited bandwidth, one from each host to each other. One message is on a line at
//! a time; what finds it busy takes turns, so that a small message waits for no large one.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    connection::{ConnId, Side},
    datagram::Packet,
    host::HostId,
};

/// The most of a stream's bytes that have a line for themselves at a time.
const SEGMENT: u64 = 16 * 1024;
/// On a slow line segments are smaller, so that they take no longer than a twentieth of a second.
const SEGMENTS_PER_SECOND: u64 = 20;

/// A datagram that has waited longer than this for its line is lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// From a host to another.
pub(super) type Way = (HostId, HostId);

/// The lines that are busy, or were a moment ago.
#[derive(Default)]
pub(super) struct Lines(BTreeMap<Way, Line>);

struct Line {
    /// In bytes per second.
    bandwidth: u64,
    free_at: Instant,
    waiting: VecDeque<Turn>,
}

/// Who waits for a line.
pub(super) enum Turn {
    Stream { conn: ConnId, from: Side },
    Datagram { packet: Packet, since: Instant },
}

impl Turn {
    fn is_too_late(&self, now: Instant) -> bool {
        match self {
            Turn::Stream { .. } => false,
            Turn::Datagram { since, .. } => now > *since + PATIENCE,
        }
    }
}

impl Lines {
    /// Whether a message has to wait for its turn.
    pub(super) fn is_busy(&self, way: Way, now: Instant) -> bool {
        self.0.get(&way).is_some_and(|line| line.free_at > now || !line.waiting.is_empty())
    }

    /// Queues who found the line busy.
    pub(super) fn wait(&mut self, way: Way, turn: Turn) {
        let line = self.0.get_mut(&way).expect("a line is busy with something");
        line.waiting.push_back(turn);
    }

    /// Puts a message on a free line, and returns when the line is free again.
    pub(super) fn occupy(&mut self, way: Way, bytes: u64, bandwidth: u64, now: Instant) -> Instant {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bandwidth);
        let free_at = now + super::clock::duration(nanos);
        let new = || Line { bandwidth, free_at, waiting: VecDeque::new() };
        let line = self.0.entry(way).or_insert_with(new);
        line.bandwidth = bandwidth;
        line.free_at = free_at;
        free_at
    }

    /// Who is next on a line, if it is free. One that nobody waits for is forgotten.
    pub(super) fn next_turn(&mut self, way: Way, now: Instant) -> Option<Turn> {
        let line = self.0.get_mut(&way).filter(|line| line.free_at <= now)?;
        while let Some(turn) = line.waiting.pop_front() {
            if !turn.is_too_late(now) {
                return Some(turn);
            }
        }
        self.0.remove(&way);
        None
    }

    /// Frees the lines whose bandwidth is not what it was, and returns them: what is on a line that
    /// was slow should keep nobody waiting.
    pub(super) fn free_changed(
        &mut self,
        now: Instant,
        bandwidth: impl Fn(Way) -> Option<u64>,
    ) -> Vec<Way> {
        let lines = self.0.iter_mut();
        let changed = lines.filter(|(way, line)| bandwidth(**way) != Some(line.bandwidth));
        let freed = changed.map(|(way, line)| {
            line.free_at = line.free_at.min(now);
            *way
        });
        freed.collect()
    }
}

/// The most of a stream's bytes that go over a line of that bandwidth at once.
pub(super) fn segment(bandwidth: u64) -> usize {
    (bandwidth / SEGMENTS_PER_SECOND).clamp(1, SEGMENT) as usize
}

/// # Panics
///
/// If it is 0.
pub(super) fn assert_some(bytes_per_second: u64) {
    assert!(
        bytes_per_second > 0,
        "a bandwidth of 0 lets nothing through: use `partition` for that"
    );
}
