//! Whether the first search for nodes is over.

use std::{net::SocketAddr, time::Duration};

use super::peer_table::PeerTable;
use crate::proto::discovery::Discovery;

/// Whether every initial address of discovery has settled.
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

    /// Looks again. Returns whether the node has become ready since the last time.
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
