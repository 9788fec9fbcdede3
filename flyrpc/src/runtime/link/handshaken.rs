//! [`Handshaken`]: a connection after its handshake.

use std::{net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use tokio::time::Instant;

use crate::{
    env::BoxStream,
    proto::{
        link::clock::LinkClock,
        seal::{record::Sealer, records::Records},
        wire::{hello::Hello, state::State},
    },
    types::{KeyId, NodeInfo, Region},
};

/// The region of visitors.
pub(crate) const VISITOR_REGION: &str = "visitor";

/// A connection to a node of this cluster, after its handshake.
pub(crate) struct Handshaken {
    pub(super) stream: BoxStream,
    pub(super) hello: Hello,
    /// The state that this node announced: which calls it accepts.
    pub(super) announced: Arc<State>,
    pub(super) epoch: Instant,
    pub(super) clock: LinkClock,
    /// The stamp of this end's hello, if the peer must answer it with a pong.
    pub(super) unanswered: Option<u64>,
    /// The bytes of frames that were received after the handshake.
    pub(super) leftover: BytesMut,
    /// The frames that must be sent before all others.
    pub(super) first_frames: Vec<u8>,
    /// How the connection is sealed. `None` if it is open.
    pub(super) seal: Option<LinkSeal>,
}

/// How a connection is sealed.
pub(super) struct LinkSeal {
    pub(super) key: KeyId,
    pub(super) sealer: Sealer,
    pub(super) records: Records,
}

impl Handshaken {
    /// The node at the other end.
    pub(crate) fn peer(&self) -> &NodeInfo {
        &self.hello.node
    }

    /// Whether the peer is a visitor.
    pub(crate) fn is_visitor(&self) -> bool {
        self.hello.is_visitor
    }

    /// Replaces what a visitor claims: its address with the one that it comes from, its region and its services.
    pub(crate) fn set_origin(&mut self, from: SocketAddr) {
        let id = self.hello.node.id().clone();
        self.hello.node = NodeInfo::new(id, Region::from(VISITOR_REGION), from);
        self.hello.services = Arc::from([]);
    }

    /// The state that this node announced: which calls it accepts.
    pub(crate) fn announced(&self) -> &Arc<State> {
        &self.announced
    }
}
