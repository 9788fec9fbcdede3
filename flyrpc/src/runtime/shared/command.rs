//! Messages to the cluster task from other parts of the node.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::{
    proto::membership::MemberState,
    runtime::link::{Link, LinkEvent},
    types::{NodeId, NodeInfo},
};

/// When gossip last arrived from a linked node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GossipAge {
    pub(crate) age: Duration,
    /// Whether it has been absent for too long.
    pub(crate) is_missing: bool,
}

/// A request to the cluster task, or an event that it must handle.
pub(crate) enum Command {
    /// Report whether a link to this address is open. Report immediately if one is open, or if an
    /// earlier attempt to dial the address failed. Otherwise, dial it immediately, and report when the
    /// attempt has ended.
    Dial { addr: SocketAddr, done: oneshot::Sender<bool> },
    /// Something happened to a link.
    Link { link: Arc<Link>, event: LinkEvent },
    /// Send this node's new state to all peers.
    StateChanged,
    /// Compare a peer's digests with this node's members, and reply with this node's digests and the
    /// members of the buckets that differ.
    SyncDigest {
        from: NodeInfo,
        digests: Vec<u64>,
        reply: oneshot::Sender<(Vec<u64>, Vec<MemberState>)>,
    },
    /// Apply the members that a peer pushed, and report when that is done.
    PushMembers { from: NodeInfo, members: Vec<MemberState>, done: oneshot::Sender<()> },
    /// Reply with the time since gossip last arrived from each linked node.
    GossipAges { reply: oneshot::Sender<BTreeMap<NodeId, GossipAge>> },
    /// Leave the cluster, close the links once they have drained, and report when that is done. The
    /// report comes after `within` at the latest, or after `at_most` if replies are still in
    /// flight.
    Leave { within: Duration, at_most: Duration, done: oneshot::Sender<()> },
}
