//! How much nodes send and receive.

/// What a node sent and received.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Datagrams sent.
    pub datagrams: u64,
    /// Bytes of datagrams sent, without the headers of IP and UDP.
    pub gossip: u64,
    /// Bytes sent over links to synchronize members.
    pub syncs: u64,
    /// Bytes received, of either kind.
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

    /// The difference to an earlier count.
    pub fn since(&self, before: &Traffic) -> Traffic {
        Traffic {
            datagrams: self.datagrams - before.datagrams,
            gossip: self.gossip - before.gossip,
            syncs: self.syncs - before.syncs,
            received: self.received - before.received,
        }
    }
}
