//! The settings of a simulated cluster.

use std::{collections::BTreeMap, fmt, future::Future, time::Duration};

use flyrpc::{Node, NodeBuilder, Region, Service};

use super::{
    release::{Release, SimNode},
    sim_cluster::SimCluster,
};
use crate::{
    latency::RoundTrips,
    net::{SimNet, SimNetBuilder},
    seed,
};

/// Settings of a cluster. Made by [`SimCluster::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing runs before `start`"]
pub struct SimClusterBuilder {
    net: SimNetBuilder,
    regions: Vec<(Region, usize)>,
    primary: Option<Region>,
    release: Release,
    /// The releases of single nodes, by name.
    overrides: BTreeMap<String, Release>,
    seed: Option<u64>,
    force_wire: bool,
    announce: bool,
}

impl SimCluster {
    /// A cluster with default settings and without nodes.
    pub fn builder() -> SimClusterBuilder {
        SimClusterBuilder {
            net: SimNet::builder(),
            regions: Vec::new(),
            primary: None,
            release: Release::new(),
            overrides: BTreeMap::new(),
            seed: None,
            force_wire: false,
            announce: true,
        }
    }
}

impl SimClusterBuilder {
    /// Adds a region with this many nodes: `<region>-0`, `<region>-1` and so on. If the region exists
    /// already, adds the nodes to it.
    ///
    /// # Panics
    ///
    /// If `nodes` is 0.
    pub fn region(mut self, region: impl Into<Region>, nodes: usize) -> Self {
        let region = region.into();
        assert!(
            nodes > 0,
            "region `{region}` is to have no nodes: leave it out, and add some later with \
             `cluster.add_node(\"{region}\")` if it is to have any"
        );
        match self.regions.iter_mut().find(|(known, _)| *known == region) {
            Some((_, count)) => *count += nodes,
            None => self.regions.push((region, nodes)),
        }
        self
    }

    /// Sets the primary region: unless set, the first that was added.
    pub fn primary(mut self, region: impl Into<Region>) -> Self {
        self.primary = Some(region.into());
        self
    }

    /// Serves a service on every node; any number. The closure creates it for each start of each node,
    /// and receives the node's name and region, so that each boot has its own state.
    pub fn serve<S: Service>(
        mut self,
        service: impl Fn(&SimNode) -> S + Send + Sync + 'static,
    ) -> Self {
        self.release = self.release.serve(service);
        self
    }

    /// Changes settings of every node, as [`Release::configure`] does.
    pub fn configure(
        mut self,
        setup: impl Fn(&SimNode, NodeBuilder) -> NodeBuilder + Send + Sync + 'static,
    ) -> Self {
        self.release = self.release.configure(setup);
        self
    }

    /// Starts every node with a function of yours, as [`Release::boot`] does.
    pub fn boot<F, E>(
        mut self,
        start: impl Fn(SimNode, NodeBuilder) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Node, E>> + Send + 'static,
        E: fmt::Display,
    {
        self.release = self.release.boot(start);
        self
    }

    /// Runs this release on every node, in place of earlier services, settings and
    /// [`boot`](Self::boot).
    pub fn release(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    /// Runs another release on one node: an older version of a service, or no flyrpc at all.
    pub fn node(mut self, name: impl Into<String>, release: Release) -> Self {
        self.overrides.insert(name.into(), release);
        self
    }

    /// Sets the round trip between two regions, or within one. [`RoundTrips`] has the defaults.
    ///
    /// # Panics
    ///
    /// If `round_trip` is not a whole number of milliseconds.
    pub fn rtt(mut self, a: impl Into<Region>, b: impl Into<Region>, round_trip: Duration) -> Self {
        self.net = self.net.rtt(a, b, round_trip);
        self
    }

    /// Replaces all round trips.
    pub fn round_trips(mut self, round_trips: RoundTrips) -> Self {
        self.net = self.net.round_trips(round_trips);
        self
    }

    /// Delays each message by up to this much more, at random; 0 by default. Faults can add
    /// [jitter](SimCluster::jitter) between places.
    ///
    /// # Panics
    ///
    /// If `up_to` is not a whole number of milliseconds.
    pub fn jitter(mut self, up_to: Duration) -> Self {
        self.net = self.net.jitter(up_to);
        self
    }

    /// Loses this share of all datagrams between nodes, at random; 0 by default. Gossip uses
    /// datagrams, calls do not.
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    pub fn loss(mut self, share: f64) -> Self {
        self.net = self.net.loss(share);
        self
    }

    /// How many bytes per second each node can send to each other one; unlimited by default. Faults can
    /// [throttle](SimCluster::throttle) the paths between places.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.net = self.net.bandwidth(bytes_per_second);
        self
    }

    /// Encodes and decodes calls that run on the caller's own node, too: what does not survive the
    /// wire then shows in a cluster of one. They still take no time.
    pub fn force_wire(mut self, force: bool) -> Self {
        self.force_wire = force;
        self
    }

    /// Sets the source of all randomness. Unless set, the seed is the environment variable
    /// `FLYRPC_SIM_SEED`, a number, or `random` for a different one each time, or else 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Whether [`start`](Self::start) prints the seed and the command that repeats the test to
    /// standard error, which a test shows only if it fails. True unless set.
    pub fn announce(mut self, announce: bool) -> Self {
        self.announce = announce;
        self
    }

    /// Starts the cluster: returns when every node is linked to every other. With paused time that
    /// takes milliseconds of real time. Dropping the future stops what has started.
    ///
    /// # Panics
    ///
    /// - If there is no region, the primary region has no node, [`node`](Self::node) named one that
    ///   does not exist, or no round trip is known between two of the regions.
    /// - If a node cannot start; the message has its error.
    /// - If links between nodes are missing after 60 s of the cluster's time; the message lists them.
    /// - If `FLYRPC_SIM_SEED` is neither a number nor `random`.
    /// - Outside a tokio runtime with time enabled.
    pub async fn start(self) -> SimCluster {
        let seed = self.seed.unwrap_or_else(seed::from_env);
        if self.announce {
            let command = seed::repeat_command(seed);
            eprintln!("flyrpc-testkit: seed {seed}; `{command}` repeats this run");
        }
        let cluster = self.build(seed);
        let mut seeds = cluster.addrs(|member| !member.release.is_flyrpc());
        for name in cluster.names() {
            let addr = cluster.launch(&name, seeds.clone()).await;
            seeds.push(addr);
        }
        cluster.settled().await;
        cluster
    }

    /// A cluster with its machines, on which no program runs yet.
    fn build(self, seed: u64) -> SimCluster {
        let SimClusterBuilder { net, regions, release, mut overrides, .. } = self;
        let primary = primary_region(&regions, self.primary);
        let cluster = SimCluster::new(net.seed(seed).build(), seed, primary, self.force_wire);
        for (region, count) in &regions {
            for _ in 0..*count {
                let name = cluster.next_name(region);
                let release = overrides.remove(&name).unwrap_or_else(|| release.clone());
                cluster.add(name, region, release);
            }
        }
        if let Some((name, _)) = overrides.first_key_value() {
            panic!("no node is called `{name}`: {}", cluster.list_names());
        }
        cluster
    }
}

/// # Panics
///
/// If there is no region, or the primary region has no nodes.
fn primary_region(regions: &[(Region, usize)], primary: Option<Region>) -> Region {
    let Some((first, _)) = regions.first() else {
        panic!("a cluster without nodes: add some with `.region(\"iad\", 2)`")
    };
    let primary = primary.unwrap_or_else(|| first.clone());
    assert!(
        regions.iter().any(|(region, _)| *region == primary),
        "the primary region `{primary}` has no nodes: add some with `.region(\"{primary}\", 1)`"
    );
    primary
}
