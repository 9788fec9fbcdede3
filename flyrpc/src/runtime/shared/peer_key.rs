//! Defines [`PeerKey`], which identifies a peer.

use std::net::SocketAddr;

use crate::types::{NodeId, NodeInfo};

/// The key of a peer. It consists of the peer's address and, for a rival, also its id. A rival is a
/// linked boot that claims an address at which another boot is linked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PeerKey {
    addr: SocketAddr,
    /// Sorts the rivals of an address after the address itself.
    rival: Option<NodeId>,
}

impl PeerKey {
    /// Returns the key of a rival.
    pub(crate) fn rival(node: &NodeInfo) -> Self {
        PeerKey { addr: node.addr(), rival: Some(node.id().clone()) }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn is_rival(&self) -> bool {
        self.rival.is_some()
    }
}

impl From<SocketAddr> for PeerKey {
    fn from(addr: SocketAddr) -> Self {
        PeerKey { addr, rival: None }
    }
}

impl From<&PeerKey> for PeerKey {
    fn from(key: &PeerKey) -> Self {
        key.clone()
    }
}
