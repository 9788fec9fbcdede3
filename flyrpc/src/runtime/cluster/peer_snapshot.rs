//! What is known of an address, as the cluster task keeps it and as a user is told.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    runtime::link::{DialError, Link},
    types::{NoSupport, NodeInfo, Peer, PeerState, Support},
};

/// An address as the cluster task knows it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) addr: SocketAddr,
    pub(crate) info: Option<NodeInfo>,
    pub(crate) link: Option<Arc<Link>>,
    pub(crate) state: PeerState,
    pub(crate) support: Support,
}

impl Known {
    /// What a user is told of it, with what its link says at this moment.
    pub(crate) fn to_peer(&self) -> Peer {
        let state = self.link.as_ref().map(|link| link.state());
        let quiet = self.link.as_ref().is_some_and(|link| link.is_quiet());
        Peer {
            addr: self.addr,
            node: self.info.clone(),
            state: if quiet { PeerState::Quiet } else { self.state },
            support: self.support.clone(),
            accepting: state.as_ref().is_some_and(|state| state.accepting && !state.draining),
            primary_region: state.as_ref().map(|state| state.primary_region.clone()),
            services: self
                .link
                .as_ref()
                .map(|link| link.own_services().to_vec())
                .unwrap_or_default(),
            withdrawn: state.map(|state| state.withdrawn.clone()).unwrap_or_default(),
            round_trip: self.link.as_ref().and_then(|link| link.round_trip()),
        }
    }
}

impl From<&DialError> for NoSupport {
    fn from(error: &DialError) -> Self {
        match error {
            DialError::Connect(error) => NoSupport::Unreachable(error.to_string()),
            DialError::ConnectTimeout => NoSupport::Unreachable(error.to_string()),
            DialError::HandshakeTimeout => NoSupport::Mute,
            DialError::ClosedDuringHandshake => {
                NoSupport::NotFlyrpc("it hung up without a word".to_owned())
            }
            DialError::NotFlyrpc(said) => NoSupport::NotFlyrpc(format!("it said {said:?}")),
            DialError::Broken(error) => {
                NoSupport::NotFlyrpc(format!("the handshake broke: {error}"))
            }
            DialError::Malformed(error) => NoSupport::NotFlyrpc(format!("it sent a {error}")),
            DialError::OtherVersions { first, last, .. } => {
                NoSupport::Protocol { first: *first, last: *last }
            }
            DialError::OtherCluster(name) => NoSupport::OtherCluster(name.clone()),
            DialError::SelfConnect => NoSupport::Oneself,
            DialError::SameAddress(_) => NoSupport::SameAddress,
            DialError::InvalidPeer { .. } => NoSupport::NotFlyrpc(error.to_string()),
        }
    }
}
