//! The amount of data that nodes send and receive.

/// The traffic of one node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Datagrams sent.
    pub datagrams: u64,
    /// Bytes of datagrams sent, excluding IP and UDP headers.
    pub gossip: u64,
    /// Bytes sent over links to sync members.
    pub syncs: u64,
    /// Bytes received, in datagrams and over links.
    pub received: u64,
}

impl Traffic {
    /// Bytes sent.
    pub fn sent(&self) -> u64 {
        self.gossip + self.syncs
    }

    /// Bytes sent and received.
    pub fn all(&self) -> u64 {
        self.sent() + self.received
    }

    /// The traffic since the earlier count `before`.
    pub fn since(&self, before: &Traffic) -> Traffic {
        Traffic {
            datagrams: self.datagrams - before.datagrams,
            gossip: self.gossip - before.gossip,
            syncs: self.syncs - before.syncs,
            received: self.received - before.received,
        }
    }
}
