//! Random schedules.

use std::{ops::RangeInclusive, time::Duration};

use flyrpc::Region;

use super::{
    kind::{Fault, FaultKind},
    planned::{PlannedFault, Schedule},
};
use crate::{cluster::SimCluster, rng::Rng};

/// The shortest duration of a random fault.
const SHORTEST: Duration = Duration::from_millis(20);

/// The longest delay and the most jitter, in milliseconds.
const MAX_DELAY: u64 = 1_500;

/// In bytes per second.
const MIN_BANDWIDTH: u64 = 20_000;

/// In bytes per second.
const MAX_BANDWIDTH: u64 = 8_000_000;

/// In milliseconds: a day.
const MAX_SKEW: u64 = 24 * 3_600_000;

/// In parts per million.
const MAX_DRIFT: u64 = 1_000;

/// The bounds of random schedules: the nodes, the kinds and number of faults, and the time.
///
/// The scopes of a fault between two scopes are regions or nodes. Durations and magnitudes are log-uniform: a fault is as
/// likely to last from 0.1 to 0.2 s as from 1 to 2 s. Delays and jitter are at most 1.5 s, bandwidth is 20 kB/s to 8 MB/s,
/// skews are at most a day, and drifts at most 1,000 parts per million.
///
/// ```
/// use std::time::Duration;
/// use flyrpc_testkit::{FaultKind, RandomFaults, Schedule};
///
/// let faults = RandomFaults::new([("iad", 2), ("hkg", 1)]) // or `RandomFaults::of(&cluster)`
///     .count(1..=5)
///     .within(Duration::from_secs(60))
///     .without([FaultKind::SkewAhead, FaultKind::SkewBehind, FaultKind::Drift]);
/// let schedule = Schedule::random(7, &faults);
/// assert_eq!(schedule, Schedule::random(7, &faults));
/// assert!((1..=5).contains(&schedule.faults().len()));
/// assert!(schedule.end() <= Duration::from_secs(60));
/// ```
#[derive(Debug, Clone)]
#[must_use = "no faults are drawn before `Schedule::random`"]
pub struct RandomFaults {
    /// The regions, then the nodes.
    pub(super) scopes: Vec<String>,
    pub(super) nodes: Vec<String>,
    kinds: Vec<FaultKind>,
    pub(super) count: RangeInclusive<usize>,
    within: Duration,
}

/// The random numbers that determine a fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    pub(super) kind: usize,
    pub(super) node: usize,
    pub(super) scopes: (usize, usize),
    pub(super) lasts: Share,
    pub(super) at: Share,
    pub(super) magnitude: Share,
    /// Whether a drifting clock is slow.
    pub(super) is_slow: bool,
}

/// A position in a range, in units of 2⁻²⁰ of the range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share(pub(super) u64);

impl RandomFaults {
    /// Creates bounds for clusters with this number of nodes in each region, whose names are `<region>-<index>` as in
    /// [`SimClusterBuilder::region`](crate::SimClusterBuilder::region). Schedules have up to 8 faults of all kinds, within
    /// 20 s.
    ///
    /// # Panics
    ///
    /// If there is no node.
    #[track_caller]
    pub fn new<R: Into<Region>>(regions: impl IntoIterator<Item = (R, usize)>) -> Self {
        let mut nodes = Vec::new();
        for (region, count) in regions {
            let region = region.into();
            nodes.extend((0..count).map(|index| format!("{region}-{index}")));
        }
        RandomFaults::with_nodes(nodes)
    }

    /// Creates bounds for the nodes that `cluster` has now. The other bounds are those of [`new`](Self::new).
    pub fn of(cluster: &SimCluster) -> Self {
        RandomFaults::with_nodes(cluster.names())
    }

    #[track_caller]
    fn with_nodes(nodes: Vec<String>) -> Self {
        assert!(
            !nodes.is_empty(),
            "random faults need nodes: use `RandomFaults::new([(\"iad\", 2)])`"
        );
        let mut scopes: Vec<String> = Vec::new();
        for (region, _) in nodes.iter().filter_map(|node| node.rsplit_once('-')) {
            if scopes.iter().all(|known| known != region) {
                scopes.push(region.to_owned());
            }
        }
        scopes.extend(nodes.iter().cloned());
        let (kinds, count) = (FaultKind::ALL.to_vec(), 1..=8);
        RandomFaults { scopes, nodes, kinds, count, within: Duration::from_secs(20) }
    }

    /// Sets the number of faults of a schedule.
    ///
    /// # Panics
    ///
    /// If the range is empty.
    #[track_caller]
    pub fn count(mut self, count: RangeInclusive<usize>) -> Self {
        assert!(!count.is_empty(), "the range of the number of faults is empty: {count:?}");
        self.count = count;
        self
    }

    /// Sets the time within which all faults start and end. A shutdown may end later, by the time that the node takes to
    /// stop.
    ///
    /// # Panics
    ///
    /// If it is shorter than 20 ms, the shortest duration of a fault.
    #[track_caller]
    pub fn within(mut self, within: Duration) -> Self {
        assert!(
            within >= SHORTEST,
            "random faults last at least {SHORTEST:?}, but have {within:?}"
        );
        self.within = within;
        self
    }

    /// Draws only faults of these kinds. The default is all kinds.
    pub fn only(mut self, kinds: impl IntoIterator<Item = FaultKind>) -> Self {
        self.kinds = kinds.into_iter().collect();
        self
    }

    /// Draws no faults of these kinds.
    pub fn without(mut self, kinds: impl IntoIterator<Item = FaultKind>) -> Self {
        let without: Vec<_> = kinds.into_iter().collect();
        self.kinds.retain(|kind| !without.contains(kind));
        self
    }

    /// Returns the kinds of faults that can be drawn. A cluster of one node has no paths.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub(super) fn kinds(&self) -> Vec<FaultKind> {
        let has_paths = self.nodes.len() > 1;
        let kinds = self.kinds.iter().filter(|kind| has_paths || !kind.needs_scopes());
        let kinds: Vec<_> = kinds.copied().collect();
        assert!(!kinds.is_empty(), "no kind of fault is allowed, or none applies to a single node");
        kinds
    }

    /// Returns the fault that a draw determines. The kind is an index into `kinds`.
    pub(super) fn plan(&self, kinds: &[FaultKind], draw: Draw) -> PlannedFault {
        let within = millis(self.within);
        // First, because a shrinking start must not change the duration.
        let lasts = draw.lasts.of_logarithm(millis(SHORTEST), within);
        PlannedFault {
            at: Duration::from_millis(draw.at.of(within - lasts)),
            lasts: Duration::from_millis(lasts),
            fault: self.fault(kinds[draw.kind], draw),
        }
    }

    fn fault(&self, kind: FaultKind, draw: Draw) -> Fault {
        let node = self.nodes[draw.node].clone();
        let (a, b) = self.pair(draw.scopes);
        let magnitude = |least, most| draw.magnitude.of_logarithm(least, most);
        let delay = |least, most| Duration::from_millis(magnitude(least, most));
        match kind {
            FaultKind::Partition => Fault::Partition { a, b },
            FaultKind::PartitionOneWay => Fault::PartitionOneWay { from: a, to: b },
            FaultKind::Hold => Fault::Hold { a, b },
            FaultKind::Slow => Fault::Slow { a, b, by: delay(1, MAX_DELAY) },
            FaultKind::Jitter => Fault::Jitter { a, b, up_to: delay(1, MAX_DELAY) },
            FaultKind::Lose => Fault::Lose { a, b, share: magnitude(1, 100) as f64 / 100.0 },
            FaultKind::FilterTcp => Fault::FilterTcp { a, b },
            FaultKind::Throttle => {
                // Faults with a higher magnitude are worse.
                let bytes_per_second =
                    MIN_BANDWIDTH * MAX_BANDWIDTH / magnitude(MIN_BANDWIDTH, MAX_BANDWIDTH);
                Fault::Throttle { a, b, bytes_per_second }
            }
            FaultKind::Crash => Fault::Crash { node },
            FaultKind::CrashMachine => Fault::CrashMachine { node },
            FaultKind::Shutdown => Fault::Shutdown { node },
            FaultKind::Freeze => Fault::Freeze { node },
            FaultKind::SkewAhead => Fault::SkewAhead { node, by: delay(1, MAX_SKEW) },
            FaultKind::SkewBehind => Fault::SkewBehind { node, by: delay(1, MAX_SKEW) },
            FaultKind::Drift => {
                let by = magnitude(1, MAX_DRIFT) as i64;
                Fault::Drift { node, parts_per_million: if draw.is_slow { -by } else { by } }
            }
        }
    }

    /// Returns two different scopes. `second` is an index into the scopes without the first.
    fn pair(&self, (first, second): (usize, usize)) -> (String, String) {
        // A cluster of one node has two scopes: the node and its region.
        let second = if second >= first { second + 1 } else { second };
        (self.scopes[first].clone(), self.scopes[second].clone())
    }
}

impl Schedule {
    /// Returns a random schedule. Equal seeds and equal bounds give equal schedules.
    ///
    /// # Panics
    ///
    /// If `faults` allows no kind of fault.
    #[track_caller]
    pub fn random(seed: u64, faults: &RandomFaults) -> Self {
        let kinds = faults.kinds();
        let rng = &mut Rng::new(seed, "schedule", 0);
        let (least, most) = (*faults.count.start(), *faults.count.end());
        let count = least + index(rng, most - least + 1);
        let mut draw = || Draw {
            kind: index(rng, kinds.len()),
            node: index(rng, faults.nodes.len()),
            scopes: (index(rng, faults.scopes.len()), index(rng, faults.scopes.len() - 1)),
            lasts: Share(rng.up_to(Share::MAX)),
            at: Share(rng.up_to(Share::MAX)),
            magnitude: Share(rng.up_to(Share::MAX)),
            is_slow: rng.chance(0.5),
        };
        (0..count).map(|_| faults.plan(&kinds, draw())).collect()
    }
}

impl Share {
    const BITS: u32 = 20;
    pub(super) const MAX: u64 = (1 << Share::BITS) - 1;

    /// Returns the number at this position between 0 and `most`.
    fn of(self, most: u64) -> u64 {
        let position = u128::from(self.0) * u128::from(most);
        (position >> Share::BITS) as u64
    }

    /// Returns the number at this position of a range, uniform on a logarithmic scale. Computed without floating-point
    /// functions, whose results depend on the platform. `least` must not be 0.
    fn of_logarithm(self, least: u64, most: u64) -> u64 {
        let doublings = u64::from((most / least).max(1).ilog2()) + 1;
        let position = self.0 * doublings;
        let low = least << (position >> Share::BITS);
        let high = low.saturating_mul(2).min(most.max(low));
        low + Share(position & Share::MAX).of(high - low)
    }
}

/// Returns a number below `count`, which must not be 0.
fn index(rng: &mut Rng, count: usize) -> usize {
    rng.up_to(count as u64 - 1) as usize
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn bounds() -> RandomFaults {
        RandomFaults::new([("iad", 2), ("hkg", 1)]).count(2..=6).within(Duration::from_secs(5))
    }

    #[test]
    fn equal_seeds_give_equal_schedules_and_others_do_not() {
        assert_eq!(Schedule::random(1, &bounds()), Schedule::random(1, &bounds()));
        assert_ne!(Schedule::random(1, &bounds()), Schedule::random(2, &bounds()));
    }

    #[test]
    fn a_schedule_keeps_to_its_bounds() {
        let mut kinds = BTreeSet::new();
        for seed in 0..500 {
            let schedule = Schedule::random(seed, &bounds());
            assert!((2..=6).contains(&schedule.faults().len()), "{schedule}");
            assert!(schedule.faults().is_sorted_by_key(|planned| planned.at), "{schedule}");
            assert!(schedule.end() <= Duration::from_secs(5), "{schedule}");
            assert!(
                schedule.faults().iter().all(|planned| planned.lasts >= SHORTEST),
                "{schedule}"
            );
            kinds.extend(schedule.into_iter().map(|planned| planned.fault.kind()));
        }
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), FaultKind::ALL);
    }

    #[test]
    fn kinds_can_be_selected() {
        let kinds = |bounds: RandomFaults| -> BTreeSet<FaultKind> {
            let schedules = (0..100).map(|seed| Schedule::random(seed, &bounds));
            schedules.flatten().map(|planned| planned.fault.kind()).collect()
        };
        let stops = [FaultKind::Crash, FaultKind::CrashMachine, FaultKind::Shutdown];
        assert_eq!(kinds(bounds().only(stops)), BTreeSet::from(stops));
        assert!(kinds(bounds().without(stops)).is_disjoint(&BTreeSet::from(stops)));
        let single = kinds(RandomFaults::new([("iad", 1)]));
        assert!(single.iter().all(|kind| !kind.needs_scopes()) && single.len() == 7, "{single:?}");
    }

    #[test]
    #[should_panic(expected = "no kind of fault is allowed")]
    fn a_schedule_needs_a_kind() {
        Schedule::random(1, &bounds().only([]));
    }

    #[test]
    fn a_share_of_a_range_reaches_both_ends() {
        for (least, most) in [(1, 1), (1, 2), (20, 5_000), (20, 20), (MIN_BANDWIDTH, MAX_BANDWIDTH)]
        {
            let at = |share| Share(share).of_logarithm(least, most);
            assert_eq!(at(0), least);
            assert!(at(Share::MAX) <= most && at(Share::MAX) + most / 1_000 + 1 >= most, "{most}");
            let steps = (0..=Share::MAX).step_by(997).map(at);
            assert!(steps.is_sorted(), "{least} to {most}");
        }
    }
}
