//! The network between the nodes: ten regions that are as far apart as measured.

use flyrpc::{Region, unstable::sim::Network};
use flyrpc_testkit::RoundTrips;

/// Where nodes are. Those of the first half are one side of a partition, the others the other.
const REGIONS: [&str; 10] = ["iad", "sjc", "lhr", "fra", "gru", "jnb", "sin", "hkg", "nrt", "syd"];

/// The network, which loses a share of all datagrams.
pub(crate) fn network(loss: f64) -> Network {
    let trips = RoundTrips::default();
    let regions = REGIONS.map(Region::from);
    let one_way = |from: usize, to: usize| {
        trips.between(&regions[from], &regions[to]).expect("the round trip was measured") / 2
    };
    let mut network = Network::new(regions.clone(), one_way);
    network.loss = loss;
    network
}

/// The side of a partition that a node is on.
pub(crate) fn is_on_first_side(node: usize) -> bool {
    node % REGIONS.len() < REGIONS.len() / 2
}
