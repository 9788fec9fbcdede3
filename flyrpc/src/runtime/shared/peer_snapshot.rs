//! The state of an address, as the cluster task last published it.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    proto::routing::{Endpoint, NodeLoad},
    runtime::link::Link,
    types::{LinkSecurity, NodeInfo, Peer, PeerState, Support},
};

/// A published peer. Combined with the current state of its link, it becomes the public [`Peer`].
#[derive(Debug, Clone)]
pub(crate) struct PeerSnapshot {
    pub(crate) addr: SocketAddr,
    pub(crate) info: Option<NodeInfo>,
    pub(crate) link: Option<Arc<Link>>,
    pub(crate) state: PeerState,
    pub(crate) support: Support,
}

impl PeerSnapshot {
    /// Returns the public form, with the current state of the link.
    pub(crate) fn to_peer(&self) -> Peer {
        let link = self.link.as_ref();
        let state = link.map(|link| link.state());
        let load = link.map(|link| &**link.load());
        let quiet = link.is_some_and(|link| link.is_quiet());
        Peer {
            addr: self.addr,
            node: self.info.clone(),
            version: link.map(|link| link.version().to_owned()).unwrap_or_default(),
            state: if quiet { PeerState::Quiet } else { self.state },
            support: self.support.clone(),
            accepting: state.as_ref().is_some_and(|state| state.accepting && !state.draining),
            primary_region: state.as_ref().map(|state| state.primary_region.clone()),
            services: link.map(|link| link.user_services().to_vec()).unwrap_or_default(),
            withdrawn: state.map(|state| state.withdrawn.clone()).unwrap_or_default(),
            security: link.map(|link| match link.sealed_with() {
                Some(key) => LinkSecurity::Sealed(key),
                None => LinkSecurity::Open,
            }),
            keys: link.map(|link| link.keys().to_vec()).unwrap_or_default(),
            round_trip: link.and_then(|link| link.round_trip()),
            in_flight: load.map_or(0, NodeLoad::in_flight),
            reported_in_flight: load.map_or(0, NodeLoad::reported),
            ejected: load.is_some_and(NodeLoad::is_ejected),
        }
    }
}
