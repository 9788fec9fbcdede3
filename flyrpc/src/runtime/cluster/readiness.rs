//! Whether the initial search for nodes is complete.

use std::{net::SocketAddr, time::Duration};

use super::peer_table::PeerTable;
use crate::proto::discovery::Discovery;

/// Whether the node no longer waits for any initial address of discovery.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    is_ready: bool,
    /// The address that blocked readiness last time.
    blocker: Option<SocketAddr>,
}

impl Readiness {
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Checks again. Returns whether the node has become ready since the last check.
    pub(super) fn update(
        &mut self,
        now: Duration,
        discovery: &Discovery,
        peers: &PeerTable,
    ) -> bool {
        if self.is_ready {
            return false;
        }
        // Fast path: re-check the address that blocked readiness last time.
        if self.blocker.is_some_and(|addr| !peers.is_settled(addr, now)) {
            return false;
        }
        let Some(initial) = discovery.initial_addresses() else { return false };
        self.blocker = initial.iter().copied().find(|addr| !peers.is_settled(*addr, now));
        self.is_ready = self.blocker.is_none();
        self.is_ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Seed, types::Region};

    #[test]
    fn a_node_is_ready_once_each_initial_address_has_synced_or_run_out_of_time() {
        let seeds = Seed::parse_list("10.0.0.1:1 10.0.0.2:1").unwrap();
        let discovery = Discovery::new(seeds, []);
        let (mut peers, mut readiness) = (PeerTable::new(Region::LOCAL), Readiness::default());
        for addr in discovery.addresses() {
            peers.entry(addr).set_seed(true);
            peers.entry(addr).begin_dial(Duration::ZERO);
        }
        let mut update = |secs, peers: &PeerTable| {
            readiness.update(Duration::from_secs(secs), &discovery, peers)
        };
        assert!(!update(0, &peers));
        peers.entry(SocketAddr::from(([10, 0, 0, 1], 1))).on_synced();
        assert_eq!([update(4, &peers), update(5, &peers), update(6, &peers)], [false, true, false]);
        assert!(readiness.is_ready());
    }
}
