//! The network between the nodes: ten regions with measured round trips between them.

use flyrpc::{Region, unstable::sim::Network};
use flyrpc_testkit::RoundTrips;

/// The regions of the nodes. A partition separates the first half from the second.
const REGIONS: [&str; 10] = ["iad", "sjc", "lhr", "fra", "gru", "jnb", "sin", "hkg", "nrt", "syd"];

/// Creates the network, which loses the share `loss` of all datagrams.
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

/// Returns true if a node is on the first side of a partition.
pub(crate) fn is_on_first_side(node: usize) -> bool {
    node % REGIONS.len() < REGIONS.len() / 2
}
