//! Simulated clusters for the unit tests of the membership, and queries on them.

use std::{hash::Hasher, time::Duration};

use rand::RngExt;

use super::{
    host::{self, Host},
    ledger::Boot,
    network::Network,
    simulation::{CLUSTER, Sim},
};
use crate::{
    proto::membership::{Event, Membership, Settings},
    types::{NodeId, Region},
};

const REGIONS: usize = 10;

pub(crate) fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

impl Sim {
    /// A cluster of `size` addresses without running nodes, on a network with jitter and instant
    /// dials.
    pub(crate) fn empty(size: usize, seed: u64) -> Self {
        let regions = (0..REGIONS).map(|region| Region::from(format!("r{region}")));
        let mut network = Network::new(regions, one_way);
        network.jitter = 0.15;
        network.instant_dials = true;
        Sim::new(size, Vec::new(), network, seed)
    }

    /// A cluster whose nodes started one after another within 3 s, with node 0 as their seed.
    /// Returned 10 s after all nodes list each other. Has 5 spare addresses.
    pub(crate) fn cluster(size: usize, seed: u64) -> Self {
        let mut sim = Sim::empty(size + 5, seed);
        for node in 0..size {
            let boot = sim.rng.random_range(1..Boot::MAX);
            sim.start_seeded(node, boot, &[0]);
            sim.pass(secs(3.0 / size as f64));
        }
        sim.time_until(secs(60.0), Sim::agrees);
        sim.pass(secs(10.0));
        sim
    }

    pub(crate) fn start_seeded(&mut self, node: usize, boot: Boot, seeds: &[usize]) {
        self.start_with(node, boot, seeds, Settings::new(CLUSTER));
    }

    /// Starts a boot of a node with the given seeds and settings.
    pub(crate) fn start_with(
        &mut self,
        node: usize,
        boot: Boot,
        seeds: &[usize],
        settings: Settings,
    ) {
        let place = (node, self.network.region(node));
        let host = Host::new(place, boot, seeds, settings, self.rng.random(), self.now);
        self.insert(node, host);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.run(time, |_| false);
    }

    /// Returns the time until `done` returns true, checked every 100 ms.
    #[track_caller]
    pub(crate) fn time_until(&mut self, limit: Duration, done: impl Fn(&Sim) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now - start < limit, "condition not met within {limit:?}");
            self.pass(secs(0.1));
        }
        self.now - start
    }

    /// Whether every running node lists exactly the others.
    pub(crate) fn agrees(&self) -> bool {
        self.ledger.agrees()
    }

    /// The id of a running node.
    pub(crate) fn id(&self, node: usize) -> NodeId {
        host::id(node, self.boot(node).expect("the node is running"))
    }

    pub(crate) fn membership(&self, node: usize) -> &Membership {
        &self.hosts[node].as_ref().expect("the node is running").membership
    }

    /// Whether `by` lists the boot `id`.
    pub(crate) fn lists(&self, by: usize, id: &NodeId) -> bool {
        let listed = self.ledger.list_of(by);
        listed.into_iter().any(|node| {
            self.ledger.listed(by, node).is_some_and(|boot| host::id(node, boot) == *id)
        })
    }

    /// The number of nodes that `by` lists.
    pub(crate) fn listed(&self, by: usize) -> usize {
        self.ledger.list_of(by).count()
    }

    /// Whether no running node lists `id`.
    pub(crate) fn is_unlisted(&self, id: &NodeId) -> bool {
        self.running().all(|by| !self.lists(by, id))
    }

    /// The events of all running nodes since `since`, each with the node that emitted it.
    pub(crate) fn events_since(&self, since: Duration) -> Vec<(NodeId, Event)> {
        let running: Vec<_> = self.running().map(|node| self.id(node)).collect();
        let events = self.record.events.iter();
        let recent = events.filter(|(at, node, _)| *at >= since && running.contains(node));
        recent.map(|(_, node, event)| (node.clone(), event.clone())).collect()
    }

    /// The events that one boot emitted after `after`.
    pub(crate) fn events_of(&self, id: &NodeId, after: Duration) -> Vec<&Event> {
        let events = self.record.events.iter();
        events.filter(|(at, node, _)| *at > after && node == id).map(|(.., event)| event).collect()
    }

    /// A digest of all datagrams and events.
    pub(crate) fn trace(&self) -> u64 {
        self.record.trace.finish()
    }
}

/// The delay between two regions: 0.5 ms within a region, and 5 to 170 ms between regions.
fn one_way(from: usize, to: usize) -> Duration {
    let (low, high) = (from.min(to), from.max(to));
    if low == high {
        return Duration::from_micros(500);
    }
    Duration::from_millis(5 + ((low * 37 + high * 61) % 166) as u64)
}
