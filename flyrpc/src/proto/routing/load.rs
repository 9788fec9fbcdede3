//! The load of nodes and regions, as this node sees it.
//!
//! The state is updated by every call, so it consists of atomics instead of a value behind a lock. All accesses
//! are relaxed: an estimate that is a few calls old is as good as a current one.
//!
//! All times are in microseconds since this node was started.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
};

use super::ejection::{PROBE_LEASE, PROBE_PAUSE};

/// The time constant of the moving average of latencies, in units of [`Latency::at`]. Ten seconds, the default of
/// Finagle and tower.
const DECAY: f32 = 10_000_000.0 / UNIT;

/// Without a sample for this long, in units of [`Latency::at`], a node counts as one that was never called.
/// Fifteen seconds.
const FORGET: f32 = 15_000_000.0 / UNIT;

/// Times of different threads differ by less than this, in units of [`Latency::at`]. A minute.
const SLIGHTLY: u32 = 60_000_000 >> UNIT_BITS;

/// The unit of [`Latency::at`], in microseconds. A `u32` of them lasts 50 days.
const UNIT: f32 = (1 << UNIT_BITS) as f32;
const UNIT_BITS: u32 = 10;

/// The least ratio of a newcomer that has calls in flight. Without this, all calls would go to a newcomer that
/// never answers until the first one fails (Finagle's `PeakEwma` has a similar penalty). The first replies of a slow
/// node do not show how slow it is, because they are the fastest ones of many calls that started at the same time.
/// So this ends with [`FIRST_REPLIES`], or when no more calls are in flight than the node has answered.
///
/// Also the least ratio that a failure counts as: failures are often fast, and would attract calls.
const PENALTY: f32 = 10.0;

/// Higher reports count as this many calls. A node accepts 8,192 by default.
const MAX_REPORTED: u32 = 1 << 16;

/// A node that has answered this many calls is no newcomer.
const FIRST_REPLIES: u32 = 16;

/// A node is expensive if it costs this many times as much as the nodes that were picked before. In simulations of
/// ten nodes, five of them slow, a factor of 2 sends three times as many calls to the slowest ones.
const EXPENSIVE: f32 = 1.25;

/// See [`NodeLoad::probe_at`].
const PROBING: u64 = 1;

/// The load of one boot of a node, over all links to it.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct NodeLoad {
    // First the fields that a pick reads of each node that it draws. They are usually in one cache line.
    /// While the node is ejected, when the next call may probe it. Otherwise 0. The lowest bit is set while a call
    /// probes it.
    probe_at: AtomicU64,
    /// A [`Latency`].
    latency: AtomicU64,
    /// The number of replies, modulo 2^32, in the high half. The number of calls of this node that are in flight there,
    /// in the low half.
    calls: AtomicU64,
    /// The calls in flight on the node in its latest report. All of them in the high half, and those of other
    /// callers in the low half.
    reported: AtomicU64,
    region: Arc<RegionLoad>,
    /// Whether the next reply ends a series of failures or an ejection.
    failing: AtomicBool,
}

/// The peak moving average of the ratios of latencies to the median of their methods. Sources: Finagle's
/// `PeakEwma`, and tower's.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Latency {
    /// 0 before the first sample.
    ratio: f32,
    /// When it was updated, in units of 1,024 µs.
    at: u32,
}

/// Whether a node may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Open,
    /// It is ejected.
    Ejected,
    /// It is ejected, and one call may probe whether it has recovered.
    ProbeDue,
}

/// The load of a region.
#[derive(Debug)]
pub(crate) struct RegionLoad {
    /// The number of linked nodes.
    nodes: AtomicU32,
    /// The number of linked nodes that are ejected.
    ejected: AtomicU32,
    /// The moving average of the costs of picked nodes, an `f32`.
    usual_cost: AtomicU32,
    /// The least round trip of the links in microseconds, or `u32::MAX` if none was measured.
    round_trip: AtomicU32,
}

impl NodeLoad {
    pub(crate) fn new(region: Arc<RegionLoad>) -> Self {
        NodeLoad {
            probe_at: AtomicU64::new(0),
            latency: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            region,
            failing: AtomicBool::new(false),
        }
    }

    /// The load of the node's region.
    pub(crate) fn region(&self) -> &RegionLoad {
        &self.region
    }

    /// Records that a call was sent. Each call must be followed by exactly one of the methods that record its end.
    #[inline(always)]
    pub(crate) fn on_start(&self) {
        self.calls.fetch_add(1, Relaxed);
    }

    /// Records a reply at `now`, whose latency has this `ratio` to the median of its method. Returns whether the
    /// node was failing, so that [`Ejection`](super::ejection::Ejection) must receive the reply, too.
    #[inline(always)]
    pub(crate) fn on_reply(&self, ratio: f32, now: u64) -> bool {
        // One more reply, and one call less in flight.
        self.calls.fetch_add((1 << 32) - 1, Relaxed);
        let latency = Latency::unpack(self.latency.load(Relaxed));
        self.latency.store(latency.with(ratio, units(now)).pack(), Relaxed);
        self.failing.load(Relaxed)
    }

    /// Records a failure at `now` of a call that took `ratio` times the median of its method.
    pub(crate) fn on_failure(&self, ratio: f32, now: u64) {
        self.on_canceled();
        self.penalize(ratio, now);
    }

    /// Records a failure that does not end a call.
    pub(crate) fn penalize(&self, ratio: f32, now: u64) {
        let latency = Latency::unpack(self.latency.load(Relaxed));
        let ratio = ratio.max(PENALTY);
        self.latency.store(latency.with(ratio, units(now)).pack(), Relaxed);
        self.set_failing();
    }

    /// Marks the node as failing, so that [`Ejection`](super::ejection::Ejection) receives its next reply.
    pub(crate) fn set_failing(&self) {
        self.failing.store(true, Relaxed);
    }

    /// Records at `now` that a call without a reply has taken at least `ratio` times the median of its method.
    pub(crate) fn on_no_reply_within(&self, ratio: f32, now: u64) {
        let latency = Latency::unpack(self.latency.load(Relaxed));
        if ratio > latency.read(units(now)).unwrap_or(1.0) {
            self.latency.store(Latency { ratio, at: units(now) }.pack(), Relaxed);
        }
    }

    /// Records the end of a call that shows nothing about the load of the node.
    pub(crate) fn on_canceled(&self) {
        self.calls.fetch_sub(1, Relaxed);
    }

    /// Replaces the average by `ratio`: the node has recovered, or its earlier failures say nothing about it.
    pub(crate) fn reset(&self, ratio: f32, now: u64) {
        self.latency.store(Latency { ratio, at: units(now) }.pack(), Relaxed);
        self.failing.store(false, Relaxed);
    }

    /// Records the number of calls in flight that the node has reported.
    ///
    /// The number includes those of this node, which the cost counts anyway. As many as are in flight now were
    /// most likely in flight when the node reported, so they are subtracted.
    pub(crate) fn on_report(&self, in_flight: u64) {
        let all = u32::try_from(in_flight).unwrap_or(u32::MAX).min(MAX_REPORTED);
        let others = all.saturating_sub(self.in_flight());
        self.reported.store(u64::from(all) << 32 | u64::from(others), Relaxed);
    }

    /// The number of this node's calls that are in flight there.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.calls.load(Relaxed) as u32
    }

    /// The number of calls in flight that the node has reported.
    pub(crate) fn reported(&self) -> u32 {
        (self.reported.load(Relaxed) >> 32) as u32
    }

    /// The number of replies so far, modulo 2^32.
    pub(crate) fn replies(&self) -> u32 {
        (self.calls.load(Relaxed) >> 32) as u32
    }

    /// The cost of one more call: the ratio of latencies × (1 + own calls in flight + ¼ of the calls of others).
    #[inline]
    pub(crate) fn cost(&self, now: u64) -> f32 {
        let calls = self.calls.load(Relaxed);
        let (replies, own) = ((calls >> 32) as u32, calls as u32);
        let others = self.reported.load(Relaxed) as u32;
        let latency = Latency::unpack(self.latency.load(Relaxed));
        let ratio = match latency.read(units(now)) {
            Some(ratio) if replies >= own.min(FIRST_REPLIES) => ratio,
            Some(ratio) => ratio.max(PENALTY),
            None if own == 0 => 1.0,
            None => PENALTY,
        };
        ratio * (1.0 + own as f32 + others as f32 / 4.0)
    }

    /// Returns whether the node may be picked.
    #[inline]
    pub(crate) fn standing(&self, now: u64) -> Standing {
        match self.probe_at.load(Relaxed) {
            0 => Standing::Open,
            _ if self.region.ignores_ejections() => Standing::Open,
            at if at <= now => Standing::ProbeDue,
            _ => Standing::Ejected,
        }
    }

    /// Lets the caller probe an ejected node. Returns whether it may: of several callers at the same time, one may.
    pub(crate) fn claim_probe(&self, now: u64) -> bool {
        let at = self.probe_at.load(Relaxed);
        // If the probe gets lost, there will be another one.
        let next = (now + PROBE_LEASE) | PROBING;
        let due = at != 0 && at <= now;
        due && self.probe_at.compare_exchange(at, next, Relaxed, Relaxed).is_ok()
    }

    /// Lets another call probe the node soon if the call that was sent at `sent_at` was a probe, because it has
    /// ended without showing whether the node has recovered.
    pub(crate) fn release_probe(&self, sent_at: u64) {
        let at = self.probe_at.load(Relaxed);
        if at & PROBING != 0 && (sent_at + PROBE_LEASE) | PROBING >= at {
            // An error means that the ejection has ended, or was extended.
            let next = even(sent_at + PROBE_PAUSE);
            let _ = self.probe_at.compare_exchange(at, next, Relaxed, Relaxed);
        }
    }

    /// Sets when an ejected node may be probed. `None` if it is not ejected.
    pub(crate) fn set_probe_at(&self, at: Option<u64>) {
        self.probe_at.store(at.map_or(0, even), Relaxed);
    }

    /// Returns whether the node is ejected.
    pub(crate) fn is_ejected(&self) -> bool {
        self.probe_at.load(Relaxed) != 0
    }
}

impl Latency {
    #[inline(always)]
    fn unpack(from: u64) -> Self {
        Latency { ratio: f32::from_bits((from >> 32) as u32), at: from as u32 }
    }

    #[inline(always)]
    fn pack(self) -> u64 {
        u64::from(self.ratio.to_bits()) << 32 | u64::from(self.at)
    }

    /// Adds a sample. A higher one replaces the average at once. A lower one changes it by a weight that grows
    /// with the time since the last sample.
    #[inline(always)]
    fn with(self, sample: f32, now: u32) -> Self {
        if sample >= self.ratio {
            return Latency { ratio: sample, at: now };
        }
        let age = age(self.at, now);
        let average = self.ratio + (sample - self.ratio) * (age / (age + DECAY));
        // A lower sample must not increase what was read before it.
        let read = self.after(age).unwrap_or(sample);
        Latency { ratio: average.min(read.max(sample)), at: now }
    }

    /// Returns the average, which approaches 1 while there are no samples. Returns `None` if nothing is known.
    #[inline]
    fn read(self, now: u32) -> Option<f32> {
        self.after(age(self.at, now))
    }

    /// Like [`read`](Self::read), at this age.
    #[inline(always)]
    fn after(self, age: f32) -> Option<f32> {
        let known = self.ratio > 0.0 && age < FORGET;
        known.then(|| 1.0 + (self.ratio - 1.0) * (1.0 - age / FORGET))
    }
}

fn units(micros: u64) -> u32 {
    (micros >> UNIT_BITS) as u32
}

/// Returns a time that is not 0, and whose lowest bit is not set.
fn even(micros: u64) -> u64 {
    micros.max(2) & !PROBING
}

/// Returns the time since `at`, or 0 if `at` is slightly later. Times wrap, so a time that seems to be much later is
/// one of long ago.
#[inline(always)]
fn age(at: u32, now: u32) -> f32 {
    let age = now.wrapping_sub(at);
    if age > u32::MAX - SLIGHTLY { 0.0 } else { age as f32 }
}

impl RegionLoad {
    pub(crate) fn new() -> Self {
        RegionLoad {
            nodes: AtomicU32::new(0),
            ejected: AtomicU32::new(0),
            usual_cost: AtomicU32::new(1f32.to_bits()),
            round_trip: AtomicU32::new(u32::MAX),
        }
    }

    /// Sets the number of linked nodes, and of those that are ejected.
    pub(crate) fn set_nodes(&self, nodes: u32, ejected: u32) {
        self.nodes.store(nodes, Relaxed);
        self.ejected.store(ejected, Relaxed);
    }

    /// Returns whether ejected nodes are picked like others, because more than half of the nodes are ejected.
    /// The others could not take their load (Envoy's panic threshold).
    pub(crate) fn ignores_ejections(&self) -> bool {
        2 * self.ejected.load(Relaxed) > self.nodes.load(Relaxed)
    }

    /// Records the cost of a node that was picked.
    #[inline]
    pub(super) fn on_picked(&self, cost: f32) {
        let usual = f32::from_bits(self.usual_cost.load(Relaxed));
        self.usual_cost.store((usual + (cost - usual) / 8.0).to_bits(), Relaxed);
    }

    /// Returns whether a cost is clearly above those of the nodes that were picked before.
    #[inline]
    pub(super) fn is_expensive(&self, cost: f32) -> bool {
        cost > EXPENSIVE * f32::from_bits(self.usual_cost.load(Relaxed))
    }

    /// Sets the least round trip of the links, in microseconds.
    pub(crate) fn set_round_trip(&self, micros: u32) {
        self.round_trip.store(micros, Relaxed);
    }

    /// The least round trip of the links in microseconds, or `u32::MAX` if none was measured.
    pub(crate) fn round_trip(&self) -> u32 {
        self.round_trip.load(Relaxed)
    }
}

#[cfg(test)]
mod tests;
