//! What a simulated cluster is made of.

use std::{collections::BTreeMap, fmt, future::Future, time::Duration};

use flyrpc::{Node, NodeBuilder, Region, Service};

use super::{Release, SimCluster, SimNode};
use crate::{RoundTrips, SimNet, SimNetBuilder, seed};

/// Describes a cluster that is to be started. Made by [`SimCluster::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing runs before `start`"]
pub struct SimClusterBuilder {
    pub(super) net: SimNetBuilder,
    pub(super) regions: Vec<(Region, usize)>,
    pub(super) primary: Option<Region>,
    pub(super) release: Release,
    /// What runs on single nodes instead.
    pub(super) others: BTreeMap<String, Release>,
    pub(super) seed: Option<u64>,
    pub(super) force_wire: bool,
    pub(super) announce: bool,
}

impl SimClusterBuilder {
    pub(super) fn new() -> Self {
        SimClusterBuilder {
            net: SimNet::builder(),
            regions: Vec::new(),
            primary: None,
            release: Release::new(),
            others: BTreeMap::new(),
            seed: None,
            force_wire: false,
            announce: true,
        }
    }

    /// Adds a region with so many nodes: `<region>-0`, `<region>-1` and so on. A region that is
    /// there already gets so many more.
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

    /// The primary region: the first that was added, unless this says another.
    pub fn primary(mut self, region: impl Into<Region>) -> Self {
        self.primary = Some(region.into());
        self
    }

    /// Serves a service on every node; any number. The closure makes it anew for every start of
    /// every node, and sees the node's name and region, so that each can have a state of its own.
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

    /// Runs this release on every node, in place of what was said before of services, settings and
    /// [`boot`](Self::boot).
    pub fn release(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    /// Runs another release on one node: an older version of a service, or no flyrpc at all.
    pub fn node(mut self, name: impl Into<String>, release: Release) -> Self {
        self.others.insert(name.into(), release);
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

    /// Lets each message take up to this much longer, by chance; nothing by default. Faults can add
    /// [jitter](SimNet::jitter) between places.
    ///
    /// # Panics
    ///
    /// If `up_to` is not a whole number of milliseconds.
    pub fn jitter(mut self, up_to: Duration) -> Self {
        self.net = self.net.jitter(up_to);
        self
    }

    /// Loses this share of all datagrams between nodes, by chance: 0, the default, for none. Calls
    /// are not carried by datagrams; gossip is.
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    pub fn loss(mut self, share: f64) -> Self {
        self.net = self.net.loss(share);
        self
    }

    /// How many bytes a second each node can send to each other one; no limit by default. Faults can
    /// [throttle](SimNet::throttle) the ways between places.
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

    /// Where all randomness comes from. Unless this is set, from the variable `FLYRPC_SIM_SEED`: a
    /// number, or `random` for another each time; and without that it is 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Whether [`start`](Self::start) prints the seed and the command that repeats the test to
    /// standard error, where a test shows it only if it fails. It does unless told otherwise.
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
    /// - If a node cannot start: its error tells why.
    /// - If some node does not know another after 60 s of the cluster's time; the message says which.
    /// - If `FLYRPC_SIM_SEED` is neither a number nor `random`.
    /// - Outside a tokio runtime with time enabled.
    pub async fn start(self) -> SimCluster {
        let seed = self.seed.unwrap_or_else(seed::from_env);
        SimCluster::start(self, seed).await
    }
}
