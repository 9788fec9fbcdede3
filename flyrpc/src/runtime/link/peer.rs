//! [`Peer`]: what a node knows about the other end of a link.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64},
};

use arc_swap::ArcSwap;
use smol_str::SmolStr;

use crate::{
    proto::wire::state::State,
    types::{KeyId, NodeInfo, ServiceSpec},
};

/// The link that a request came over. Unlike the identity of the peer, it is no claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Whether the peer has proved that it holds a key of this node.
    pub(crate) is_sealed: bool,
    pub(crate) is_visitor: bool,
}

/// The data that the peer announced, and the condition of its link.
pub(super) struct Peer {
    pub(super) node: NodeInfo,
    pub(super) services: Arc<[ServiceSpec]>,
    pub(super) status_level: u64,
    pub(super) keys: Vec<KeyId>,
    pub(super) version: SmolStr,
    pub(super) sealed_with: Option<KeyId>,
    pub(super) is_visitor: bool,
    pub(super) state: ArcSwap<State>,
    /// Whether the node was notified of a change of `state` that it has not read yet.
    pub(super) state_change_announced: AtomicBool,
    /// The shortest of the last round trips in microseconds, or `u64::MAX` if none was measured.
    pub(super) round_trip: AtomicU64,
}
