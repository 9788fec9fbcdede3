//! The network between the nodes: ten regions that are as far apart as measured.

use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use flyrpc::Region;
use flyrpc_testkit::RoundTrips;

/// Where nodes are. Those of the first half are one side of a partition, the others the other.
const REGIONS: [&str; 10] = ["iad", "sjc", "lhr", "fra", "gru", "jnb", "sin", "hkg", "nrt", "syd"];

const PORT: u16 = 4000;

/// Delays by region, and what is wrong.
#[derive(Debug)]
pub(crate) struct Network {
    /// The share of datagrams that are lost.
    pub(crate) loss: f64,
    /// Whether nothing passes between the two sides.
    pub(crate) is_cut: bool,
    one_way: [[Duration; REGIONS.len()]; REGIONS.len()],
}

impl Network {
    pub(crate) fn new(loss: f64) -> Self {
        let trips = RoundTrips::default();
        let regions = REGIONS.map(Region::from);
        let one_way =
            |a: &Region, b: &Region| trips.between(a, b).expect("the round trip was measured") / 2;
        let one_way = regions.each_ref().map(|a| regions.each_ref().map(|b| one_way(a, b)));
        Network { loss, is_cut: false, one_way }
    }

    /// How long anything takes from one node to another.
    pub(crate) fn delay(&self, from: usize, to: usize) -> Duration {
        self.one_way[from % REGIONS.len()][to % REGIONS.len()]
    }

    /// Whether anything gets from one node to another.
    pub(crate) fn passes(&self, from: usize, to: usize) -> bool {
        !self.is_cut || is_on_first_side(from) == is_on_first_side(to)
    }
}

/// The side of a partition that a node is on.
pub(crate) fn is_on_first_side(node: usize) -> bool {
    node % REGIONS.len() < REGIONS.len() / 2
}

pub(crate) fn region(node: usize) -> Region {
    Region::from(REGIONS[node % REGIONS.len()])
}

/// An address like those of Fly.io's private networks.
pub(crate) fn addr(node: usize) -> SocketAddr {
    let [high, low] = [(node >> 16) as u16, node as u16];
    SocketAddr::from((Ipv6Addr::new(0xfdaa, 0x2a, 0x17c3, 0xa7b, 0x1d2, 0x5e7, high, low), PORT))
}

/// The node at an address.
pub(crate) fn node_at(addr: SocketAddr) -> usize {
    let SocketAddr::V6(addr) = addr else { panic!("{addr} is no node's address") };
    let [.., high, low] = addr.ip().segments();
    usize::from(high) << 16 | usize::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_its_node() {
        for node in [0, 7, 5_000, 70_000] {
            assert_eq!(node_at(addr(node)), node);
        }
    }

    #[test]
    fn delays_are_half_the_measured_round_trips() {
        let network = Network::new(0.0);
        assert_eq!(network.delay(0, 17), Duration::from_millis(101));
        assert_eq!(network.delay(3, 13), Duration::from_micros(500));
    }

    #[test]
    fn a_cut_separates_half_of_the_regions_from_the_others() {
        let mut network = Network::new(0.0);
        assert!(network.passes(4, 5));
        network.is_cut = true;
        assert!(!network.passes(4, 5) && !network.passes(9, 10));
        assert!(network.passes(0, 14) && network.passes(5, 19));
    }
}
