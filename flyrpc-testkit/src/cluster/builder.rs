//! The settings of a simulated cluster.

use std::{collections::BTreeMap, fmt, future::Future, time::Duration};

use flyrpc::{Keyring, Node, NodeBuilder, Region, Service};
use tokio::time::Instant;

use super::{
    call_site::CallSite,
    release::{Release, SimNode},
    sim_cluster::SimCluster,
};
use crate::{
    latency::RoundTrips,
    net::{SimNet, SimNetBuilder},
    run::Run,
    seed,
    seed::TestName,
};

/// The settings of a cluster. Created by [`SimCluster::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing runs before `start`"]
pub struct SimClusterBuilder {
    net: SimNetBuilder,
    regions: Vec<(Region, usize)>,
    primary: Option<Region>,
    release: Release,
    /// The releases of single nodes, by node name.
    overrides: BTreeMap<String, Release>,
    seed: Option<u64>,
    secret: Option<Keyring>,
    force_wire: bool,
    announce: bool,
}

impl SimCluster {
    /// Returns a builder with default settings and without nodes.
    pub fn builder() -> SimClusterBuilder {
        SimClusterBuilder {
            net: SimNet::builder(),
            regions: Vec::new(),
            primary: None,
            release: Release::new(),
            overrides: BTreeMap::new(),
            seed: None,
            secret: None,
            force_wire: false,
            announce: true,
        }
    }
}

impl SimClusterBuilder {
    /// Adds a region with this many nodes: `<region>-0`, `<region>-1` and so on. If the region already
    /// exists, adds the nodes to it.
    ///
    /// # Panics
    ///
    /// If `nodes` is 0.
    #[track_caller]
    pub fn region(mut self, region: impl Into<Region>, nodes: usize) -> Self {
        let region = region.into();
        assert!(
            nodes > 0,
            "region `{region}` must have at least one node: omit the region, and add nodes later \
             with `cluster.add_node_with(\"{region}\", release)`"
        );
        match self.regions.iter_mut().find(|(known, _)| *known == region) {
            Some((_, count)) => *count += nodes,
            None => self.regions.push((region, nodes)),
        }
        self
    }

    /// Sets the primary region. The default is the first region that was added.
    pub fn primary(mut self, region: impl Into<Region>) -> Self {
        self.primary = Some(region.into());
        self
    }

    /// Serves a service on every node. Call it once for each service. The closure creates the service
    /// each time a node starts, so each boot has its own state. It receives the node that starts.
    #[track_caller]
    pub fn serve<S: Service>(
        mut self,
        service: impl Fn(&SimNode) -> S + Send + Sync + 'static,
    ) -> Self {
        self.release = self.release.serve(service);
        self
    }

    /// Changes the settings of every node, as [`Release::configure`] does.
    #[track_caller]
    pub fn configure(
        mut self,
        setup: impl Fn(&SimNode, NodeBuilder) -> NodeBuilder + Send + Sync + 'static,
    ) -> Self {
        self.release = self.release.configure(setup);
        self
    }

    /// Starts every node with a custom function, as [`Release::boot`] does.
    #[track_caller]
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

    /// Runs this release on every node. Replaces services, settings and the [`boot`](Self::boot)
    /// function that were set earlier.
    pub fn release(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    /// Runs a different release on one node, such as an older version of a service, or a program
    /// without flyrpc.
    pub fn node(mut self, name: impl Into<String>, release: Release) -> Self {
        self.overrides.insert(name.into(), release);
        self
    }

    /// Sets the secret of every node: links and gossip are sealed, and nodes that hold none of its keys are not
    /// accepted. By default, nodes have no secret, and are open without a warning. [`Release::secret`] and
    /// [`Release::without_secret`] override it for the nodes that run a release. It does not apply to nodes that a test
    /// starts on its own [hosts](SimCluster::add_host).
    ///
    /// Sealing takes no virtual time. Its randomness depends on the seed, so a simulated node must not hold a secret of
    /// production.
    pub fn secret(mut self, keyring: Keyring) -> Self {
        self.secret = Some(keyring);
        self
    }

    /// Sets the round trip between two regions, or within one region if both are the same.
    /// [`RoundTrips`] lists the defaults.
    ///
    /// # Panics
    ///
    /// If `round_trip` is not a whole number of milliseconds.
    #[track_caller]
    pub fn rtt(mut self, a: impl Into<Region>, b: impl Into<Region>, round_trip: Duration) -> Self {
        self.net = self.net.rtt(a, b, round_trip);
        self
    }

    /// Replaces all round trips.
    #[track_caller]
    pub fn round_trips(mut self, round_trips: RoundTrips) -> Self {
        self.net = self.net.round_trips(round_trips);
        self
    }

    /// Delays each message by an additional random time of up to `up_to`. The default is 0.
    /// [`SimCluster::jitter`] adds to it between two scopes.
    ///
    /// # Panics
    ///
    /// If `up_to` is not a whole number of milliseconds.
    #[track_caller]
    pub fn jitter(mut self, up_to: Duration) -> Self {
        self.net = self.net.jitter(up_to);
        self
    }

    /// Drops this share of all datagrams between nodes, at random. The default is 0. Gossip uses
    /// datagrams; calls do not.
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    #[track_caller]
    pub fn loss(mut self, share: f64) -> Self {
        self.net = self.net.loss(share);
        self
    }

    /// Limits the bandwidth from each node to each other node, in bytes per second. The default is
    /// unlimited. [`SimCluster::throttle`] can reduce it between two scopes.
    ///
    /// # Panics
    ///
    /// If `bytes_per_second` is 0.
    #[track_caller]
    pub fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.net = self.net.bandwidth(bytes_per_second);
        self
    }

    /// Also encodes and decodes calls that run on the caller's own node. A cluster of one node then
    /// detects types that do not survive encoding. These calls still take no virtual time.
    pub fn force_wire(mut self, force: bool) -> Self {
        self.force_wire = force;
        self
    }

    /// Sets the seed, from which all randomness derives. If it is not set, the seed is taken from the
    /// environment variable `FLYRPC_SIM_SEED`: a number, or `random` for a different seed in each run.
    /// Without the variable, the seed is 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets whether [`start`](Self::start) prints the seed and the command that repeats the test to
    /// standard error. Test harnesses show this output only if the test fails. The default is true.
    pub fn announce(mut self, announce: bool) -> Self {
        self.announce = announce;
        self
    }

    /// Starts the cluster, and returns it when every node is linked to every other node. In paused
    /// time this takes milliseconds of real time. Dropping the future stops the nodes that have
    /// started.
    ///
    /// # Panics
    ///
    /// - If there is no region, if the primary region has no node, if [`node`](Self::node) named a
    ///   node that does not exist, or if no round trip is known between two of the regions.
    /// - If a node cannot start. The message contains the node's error.
    /// - If links between nodes are still missing after 60 s of the cluster's time. The message lists
    ///   them.
    /// - If `FLYRPC_SIM_SEED` is neither a number nor `random`.
    /// - Outside a tokio runtime with time enabled.
    #[track_caller]
    pub fn start(self) -> impl Future<Output = SimCluster> + Send {
        let site = CallSite::here();
        let run = Run::current();
        let seed_of_run = || run.as_ref().map_or_else(seed::from_env, |run| run.seed());
        let seed = self.seed.unwrap_or_else(seed_of_run);
        if self.announce && run.is_none() {
            let command = TestName::current().repeat_command(seed);
            eprintln!("flyrpc-testkit: seed {seed}; to repeat this run: `{command}`");
            if !is_paused() {
                eprintln!("flyrpc-testkit: the clock is not paused, so delays take real time");
            }
        }
        let cluster = self.build(seed);
        async move {
            let mut seeds = cluster.addrs(|member| !member.release.is_flyrpc());
            for name in cluster.names() {
                let addr = cluster.launch(&name, seeds.clone(), site).await;
                seeds.push(addr);
            }
            cluster.settled_at(site).await;
            cluster
        }
    }

    /// Creates the cluster and its machines, without starting any program.
    #[track_caller]
    fn build(self, seed: u64) -> SimCluster {
        let SimClusterBuilder { net, regions, release, mut overrides, secret, .. } = self;
        let primary = primary_region(&regions, self.primary);
        let net = net.seed(seed).build();
        let cluster = SimCluster::new(net, seed, primary, secret, self.force_wire);
        for (region, count) in &regions {
            for _ in 0..*count {
                let name = cluster.next_name(region);
                let release = overrides.remove(&name).unwrap_or_else(|| release.clone());
                cluster.add(name, region, release);
            }
        }
        if let Some((name, _)) = overrides.first_key_value() {
            panic!("there is no node `{name}`: {}", cluster.list_names());
        }
        cluster
    }
}

/// Returns whether tokio's clock stands still while this thread computes.
fn is_paused() -> bool {
    let before = Instant::now();
    let real = std::time::Instant::now();
    while real.elapsed() < Duration::from_micros(1) {}
    Instant::now() == before
}

/// # Panics
///
/// If there is no region, or the primary region has no nodes.
#[track_caller]
fn primary_region(regions: &[(Region, usize)], primary: Option<Region>) -> Region {
    let Some((first, _)) = regions.first() else {
        panic!("the cluster has no nodes: add some with `.region(\"iad\", 2)`")
    };
    let primary = primary.unwrap_or_else(|| first.clone());
    assert!(
        regions.iter().any(|(region, _)| *region == primary),
        "the primary region `{primary}` has no nodes: add some with `.region(\"{primary}\", 1)`"
    );
    primary
}
