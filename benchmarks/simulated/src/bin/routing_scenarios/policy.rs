//! How a call finds its node: as flyrpc decides, or by a policy of this program, for comparison.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use flyrpc::NodeId;
use flyrpc_testkit::SimCluster;

use crate::service::{Random, WorkClient, lock};

/// A way to choose the node of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Flyrpc,
    Random,
    RoundRobin,
}

impl Policy {
    pub(crate) const ALL: [Policy; 3] = [Policy::Flyrpc, Policy::Random, Policy::RoundRobin];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Policy::Flyrpc => "flyrpc",
            Policy::Random => "random",
            Policy::RoundRobin => "round-robin",
        }
    }
}

/// Chooses a node in hkg for each call from iad-0.
pub(crate) struct Chooser {
    policy: Policy,
    client: WorkClient,
    nodes: Vec<NodeId>,
    random: Mutex<Random>,
    next: AtomicUsize,
}

impl Chooser {
    pub(crate) fn new(policy: Policy, cluster: &SimCluster, seed: u64) -> Self {
        let client: WorkClient = cluster.node("iad-0").client();
        let nodes = cluster.node("iad-0").nodes_in("hkg");
        Chooser {
            policy,
            client,
            nodes: nodes.iter().map(|node| node.id().clone()).collect(),
            random: Mutex::new(Random::new(seed)),
            next: AtomicUsize::new(0),
        }
    }

    /// The client of the next call.
    pub(crate) fn client(&self) -> WorkClient {
        let nodes = self.nodes.len();
        let at = match self.policy {
            Policy::Flyrpc => return self.client.on_region("hkg"),
            Policy::Random => (lock(&self.random).next() % nodes as u64) as usize,
            Policy::RoundRobin => self.next.fetch_add(1, Ordering::Relaxed) % nodes,
        };
        self.client.on_node(&self.nodes[at])
    }
}
