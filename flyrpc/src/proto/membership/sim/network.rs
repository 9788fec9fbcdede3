//! The network between the nodes: delays, losses, partitions, addresses.

use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use rand::{RngExt, rngs::Xoshiro256PlusPlus};

use crate::types::Region;

const PORT: u16 = 4000;

/// The delays between regions, and the faults of the network. Node `n` is in region `n` modulo the
/// number of regions.
#[derive(Debug, Clone)]
pub struct Network {
    regions: Vec<Region>,
    /// Delays, indexed by the regions of the sender and the receiver.
    one_way: Vec<Vec<Duration>>,
    /// The share of datagrams that are lost, from 0 to 1.
    pub loss: f64,
    /// Each message takes up to this share of its delay longer, at random.
    pub jitter: f64,
    /// Whether links open instantly. Otherwise a dial takes two round trips, or one if it is
    /// refused.
    pub instant_dials: bool,
    /// The part of the network that each node is in. No messages pass between the parts.
    parts: Vec<bool>,
}

impl Network {
    /// Creates a network without faults. `one_way` returns the delay from one region to another,
    /// given their indices.
    pub fn new(
        regions: impl IntoIterator<Item = Region>,
        one_way: impl Fn(usize, usize) -> Duration,
    ) -> Self {
        let regions: Vec<_> = regions.into_iter().collect();
        let all = 0..regions.len();
        let row = |from| all.clone().map(|to| one_way(from, to)).collect();
        Network {
            one_way: all.clone().map(row).collect(),
            regions,
            loss: 0.0,
            jitter: 0.0,
            instant_dials: false,
            parts: Vec::new(),
        }
    }

    pub(super) fn region(&self, node: usize) -> &Region {
        &self.regions[node % self.regions.len()]
    }

    /// The delay from one node to another, without jitter.
    pub(super) fn delay(&self, from: usize, to: usize) -> Duration {
        let regions = self.regions.len();
        self.one_way[from % regions][to % regions]
    }

    /// The time that one message takes, with jitter.
    pub(super) fn trip(&self, from: usize, to: usize, rng: &mut Xoshiro256PlusPlus) -> Duration {
        let delay = self.delay(from, to);
        if self.jitter > 0.0 {
            delay.mul_f64(rng.random_range(1.0..1.0 + self.jitter))
        } else {
            delay
        }
    }

    pub(super) fn loses(&self, rng: &mut Xoshiro256PlusPlus) -> bool {
        self.loss > 0.0 && rng.random_bool(self.loss)
    }

    /// Puts each of `nodes` nodes into one of two parts.
    pub(super) fn cut(&mut self, nodes: usize, is_in_first: impl Fn(usize) -> bool) {
        self.parts = (0..nodes).map(is_in_first).collect();
    }

    pub(super) fn heal(&mut self) {
        self.parts.clear();
    }

    /// Whether messages from one node reach another.
    pub(super) fn passes(&self, from: usize, to: usize) -> bool {
        self.parts.get(from) == self.parts.get(to)
    }
}

/// An address like those in Fly.io's private networks.
pub(crate) fn addr(node: usize) -> SocketAddr {
    let [high, low] = [(node >> 16) as u16, node as u16];
    SocketAddr::from((Ipv6Addr::new(0xfdaa, 0x2a, 0x17c3, 0xa7b, 0x1d2, 0x5e7, high, low), PORT))
}

/// The node at an address.
///
/// # Panics
///
/// Panics if `addr` was not created by [`addr`].
pub(super) fn node_at(addr: SocketAddr) -> usize {
    let SocketAddr::V6(addr) = addr else { panic!("{addr} is not the address of a node") };
    let [.., high, low] = addr.ip().segments();
    usize::from(high) << 16 | usize::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        let regions = ["iad", "hkg"].map(Region::from);
        Network::new(regions, |a, b| Duration::from_millis(if a == b { 1 } else { 100 }))
    }

    #[test]
    fn the_node_is_recovered_from_its_address() {
        for node in [0, 7, 5_000, 70_000] {
            assert_eq!(node_at(addr(node)), node);
        }
    }

    #[test]
    fn delays_depend_on_the_regions() {
        assert_eq!(network().delay(0, 17), Duration::from_millis(100));
        assert_eq!(network().delay(3, 13), Duration::from_millis(1));
    }

    #[test]
    fn a_cut_separates_the_parts_until_it_is_healed() {
        let mut network = network();
        assert!(network.passes(4, 5));
        network.cut(20, |node| node < 5);
        assert!(!network.passes(4, 5) && network.passes(0, 4) && network.passes(5, 19));
        network.heal();
        assert!(network.passes(4, 5));
    }
}
