//! The calls over all links to one region: the budget for their retries, the load of the nodes, and the latencies of
//! the methods.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{compat_cache::CompatCache, medians::Medians, node_health::NodeHealth};
use crate::{
    proto::routing::{BudgetExhausted, Percentile, RegionLoad, RetryBudget},
    types::{NodeId, Region, RegionStats, ServiceSpec},
};

/// How long the health of a node is kept after its last link has ended, in microseconds.
const KEEP_UNLINKED: u64 = 300_000_000;

/// Upper bound on the nodes without a link whose health is kept. Peers choose the ids of nodes.
const MAX_UNLINKED: usize = 256;

/// Upper bound on the lists of services with which the list of a new link is compared. Peers choose their services.
const MAX_COMPARED: usize = 8;

/// The period for which the least round trip is kept at least, in microseconds.
const ROUND_TRIP_PERIOD: u64 = 5_000_000;

/// The calls over all links to one region.
#[derive(Debug)]
pub(crate) struct RegionCalls {
    calls: AtomicU64,
    /// The retries that the budget has allowed, and those that it has refused.
    retries: AtomicU64,
    refused_retries: AtomicU64,
    budget: Mutex<RetryBudget>,
    /// When this node was started.
    epoch: Instant,
    load: Arc<RegionLoad>,
    nodes: Mutex<BTreeMap<NodeId, Arc<NodeHealth>>>,
    /// One for each list of services that a linked node serves. There are as many as there are versions of the program.
    compats: Mutex<Vec<Weak<CompatCache>>>,
    medians: Arc<Medians>,
    /// Of the methods that are hedged after a percentile, by the names of service and method.
    percentiles: Mutex<BTreeMap<(&'static str, &'static str), Percentile>>,
    round_trips: Mutex<RoundTrips>,
}

/// The least round trips of the current period and of the one before, in microseconds.
#[derive(Debug)]
struct RoundTrips {
    since: u64,
    current: u32,
    previous: u32,
}

impl RegionCalls {
    /// Creates the value for a region that has not been called. `epoch` is when this node was started.
    pub(crate) fn new(now: Instant, epoch: Instant) -> Self {
        RegionCalls {
            calls: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            refused_retries: AtomicU64::new(0),
            budget: Mutex::new(RetryBudget::new(now)),
            epoch,
            load: Arc::new(RegionLoad::new()),
            nodes: Mutex::default(),
            compats: Mutex::default(),
            medians: Arc::default(),
            percentiles: Mutex::default(),
            round_trips: Mutex::new(RoundTrips { since: 0, current: u32::MAX, previous: u32::MAX }),
        }
    }

    /// Counts the first request of a call, which was queued on a link.
    pub(super) fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Pays for one retry.
    ///
    /// # Errors
    ///
    /// Returns an error if the budget does not allow the retry.
    pub(super) fn try_spend(&self, now: Instant) -> Result<(), BudgetExhausted> {
        let spent = lock(&self.budget).try_spend(now, self.calls.load(Ordering::Relaxed));
        let count = if spent.is_ok() { &self.retries } else { &self.refused_retries };
        count.fetch_add(1, Ordering::Relaxed);
        spent
    }

    /// Returns the totals of the calls to `region`, which is the region of this value.
    pub(crate) fn stats(&self, region: Region) -> RegionStats {
        let total = |count: &AtomicU64| count.load(Ordering::Relaxed);
        RegionStats {
            region,
            calls: total(&self.calls),
            retries: total(&self.retries),
            refused_retries: total(&self.refused_retries),
        }
    }

    /// Converts `at` to microseconds since this node was started.
    pub(super) fn micros_at(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_micros() as u64
    }

    /// Returns the health of a node to which a link opens at `now`. `serves` is whether it serves calls of users.
    pub(super) fn on_linked(&self, node: &NodeId, serves: bool, now: u64) -> Arc<NodeHealth> {
        let mut nodes = lock(&self.nodes);
        let unlinked = nodes.values().filter(|health| !health.is_linked()).count();
        nodes.retain(|id, health| match health.unlinked() {
            Some(at) if id != node => {
                unlinked <= MAX_UNLINKED && now.saturating_sub(at) < KEEP_UNLINKED
            }
            _ => true,
        });
        let new = || Arc::new(NodeHealth::new(Arc::clone(&self.load)));
        let health = Arc::clone(nodes.entry(node.clone()).or_insert_with(new));
        health.on_linked(serves);
        self.count_nodes(&nodes);
        health
    }

    /// Handles the end of a link to a node.
    pub(super) fn on_unlinked(&self, node: &NodeHealth, now: u64) {
        let nodes = lock(&self.nodes);
        node.on_unlinked(now);
        self.count_nodes(&nodes);
    }

    /// Handles the ejection or the return of a node.
    pub(super) fn on_ejections_changed(&self) {
        self.count_nodes(&lock(&self.nodes));
    }

    fn count_nodes(&self, nodes: &BTreeMap<NodeId, Arc<NodeHealth>>) {
        let serving = || nodes.values().filter(|health| health.serves());
        let ejected = serving().filter(|health| health.load().is_ejected()).count();
        self.load.set_nodes(serving().count() as u32, ejected as u32);
    }

    /// Returns how traits match these services of a node. Links to nodes with equal services share it.
    pub(super) fn compats(&self, services: Arc<[ServiceSpec]>) -> Arc<CompatCache> {
        let mut compats = lock(&self.compats);
        compats.retain(|shared| shared.strong_count() > 0);
        let is_equal = |shared: &Arc<CompatCache>| *shared.services() == services;
        let found = compats.iter().take(MAX_COMPARED).filter_map(Weak::upgrade).find(is_equal);
        found.unwrap_or_else(|| {
            let new = Arc::new(CompatCache::new(services, Arc::clone(&self.medians)));
            compats.push(Arc::downgrade(&new));
            new
        })
    }

    /// Returns the latency within which this percentage of the calls of a method return, if it is known.
    pub(crate) fn percentile(
        &self,
        service: &'static str,
        method: &'static str,
        percent: u8,
    ) -> Option<Duration> {
        let mut percentiles = lock(&self.percentiles);
        percentiles.entry((service, method)).or_insert_with(|| Percentile::new(percent)).get()
    }

    /// Adds the latency of a call of a method whose [percentile](Self::percentile) was asked for. `None` if the call
    /// has taken longer than the percentile.
    pub(crate) fn observe_for_percentile(
        &self,
        service: &'static str,
        method: &'static str,
        latency: Option<Duration>,
    ) {
        let mut percentiles = lock(&self.percentiles);
        let Some(percentile) = percentiles.get_mut(&(service, method)) else { return };
        match latency {
            Some(latency) => percentile.observe(latency),
            None => percentile.observe_longer(),
        }
    }

    /// Records a round trip of one of the links, measured at `now`. Both are in microseconds. Called at each heartbeat,
    /// so it also counts the calls up to now for the budget.
    pub(super) fn on_round_trip(&self, round_trip: u64, now: u64) {
        let mut least = lock(&self.round_trips);
        if now.saturating_sub(least.since) >= ROUND_TRIP_PERIOD {
            *least = RoundTrips { since: now, current: u32::MAX, previous: least.current };
        }
        least.current = least.current.min(u32::try_from(round_trip).unwrap_or(u32::MAX));
        self.load.set_round_trip(least.current.min(least.previous));
        drop(least);
        let at = self.epoch + Duration::from_micros(now);
        lock(&self.budget).sample(at, self.calls.load(Ordering::Relaxed));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::routing::Failure;

    fn region() -> RegionCalls {
        let now = Instant::now();
        RegionCalls::new(now, now)
    }

    fn id(boot: u64) -> NodeId {
        NodeId::new("n", boot)
    }

    #[test]
    fn the_health_of_a_node_survives_its_links_for_five_minutes() {
        let region = region();
        let health = region.on_linked(&id(1), true, 0);
        let second = region.on_linked(&id(1), true, 0);
        assert!(Arc::ptr_eq(&health, &second));
        region.on_unlinked(&health, 1);
        region.on_unlinked(&health, 1);
        assert!(Arc::ptr_eq(&health, &region.on_linked(&id(1), true, 2)));
        region.on_unlinked(&health, 3);
        region.on_linked(&id(2), true, KEEP_UNLINKED);
        assert!(Arc::ptr_eq(&health, &region.on_linked(&id(1), true, KEEP_UNLINKED)));
        region.on_unlinked(&health, KEEP_UNLINKED);
        region.on_linked(&id(3), true, 2 * KEEP_UNLINKED);
        assert!(!Arc::ptr_eq(&health, &region.on_linked(&id(1), true, 2 * KEEP_UNLINKED)));
    }

    #[test]
    fn nodes_without_a_link_do_not_accumulate() {
        let region = region();
        for boot in 0..10_000 {
            let health = region.on_linked(&id(boot), true, 0);
            region.on_unlinked(&health, 0);
        }
        assert!(lock(&region.nodes).len() <= MAX_UNLINKED + 2);
    }

    #[test]
    fn only_linked_nodes_count_for_the_share_of_ejected_ones() {
        let region = region();
        let nodes: Vec<_> = (0..4).map(|boot| region.on_linked(&id(boot), true, 0)).collect();
        for health in &nodes[..2] {
            let changes: Vec<_> =
                (0..5).filter_map(|_| health.on_failure(1, 1, Failure::Transport)).collect();
            assert_eq!(changes.len(), 1);
        }
        region.on_ejections_changed();
        assert!(!region.load.ignores_ejections());
        region.on_unlinked(&nodes[3], 1);
        assert!(region.load.ignores_ejections());
        region.on_unlinked(&nodes[0], 1);
        assert!(!region.load.ignores_ejections());
    }

    #[test]
    fn the_round_trip_of_a_region_is_the_least_of_the_last_seconds() {
        let region = region();
        let at = |second: u64, round_trip| {
            region.on_round_trip(round_trip, second * 1_000_000);
            region.load.round_trip()
        };
        assert_eq!(at(0, 90), 90);
        assert_eq!(at(1, 20), 20);
        assert_eq!(at(2, 90), 20);
        assert_eq!(at(7, 90), 20);
        assert_eq!(at(14, 90), 90);
        assert_eq!(at(15, u64::MAX), 90);
    }

    #[test]
    fn links_to_nodes_with_equal_services_share_their_compats() {
        let region = region();
        let services = |name: &str| {
            let spec = ServiceSpec { name: name.to_owned(), methods: Vec::new() };
            Arc::<[ServiceSpec]>::from([spec])
        };
        let first = region.compats(services("A"));
        assert!(Arc::ptr_eq(&first, &region.compats(services("A"))));
        assert!(!Arc::ptr_eq(&first, &region.compats(services("B"))));
        drop(first);
        region.compats(services("C"));
        assert_eq!(lock(&region.compats).len(), 1);
    }
}
