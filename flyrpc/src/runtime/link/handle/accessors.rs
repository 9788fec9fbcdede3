//! What the node reads about the peer of a link.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::Link;
use crate::{
    proto::wire::state::State,
    runtime::link::peer::Origin,
    types::{KeyId, NodeInfo, ServiceSpec},
};

impl Link {
    /// The version of the peer's application. Empty if it is unknown.
    pub(crate) fn version(&self) -> &str {
        &self.peer.version
    }

    /// The keys that the peer holds.
    pub(crate) fn keys(&self) -> &[KeyId] {
        &self.peer.keys
    }

    /// The key that seals the link. `None` if the link is open.
    pub(crate) fn sealed_with(&self) -> Option<KeyId> {
        self.peer.sealed_with
    }

    /// What is known about the peer beyond its claims.
    pub(crate) fn origin(&self) -> Origin {
        Origin { is_sealed: self.peer.sealed_with.is_some(), is_visitor: self.peer.is_visitor }
    }

    /// The node at the other end.
    pub(crate) fn peer(&self) -> &NodeInfo {
        &self.peer.node
    }

    /// The services of the peer, except the internal one.
    pub(crate) fn user_services(&self) -> &[ServiceSpec] {
        self.peer.services.get(1..).unwrap_or_default()
    }

    /// All services of the peer. Method indices count the methods in this list.
    pub(crate) fn all_services(&self) -> &[ServiceSpec] {
        &self.peer.services
    }

    /// The set of statuses that the peer knows.
    pub(crate) fn status_level(&self) -> u64 {
        self.peer.status_level
    }

    /// The current state of the peer: which calls it accepts.
    pub(crate) fn state(&self) -> Arc<State> {
        self.peer.state.load_full()
    }

    /// Lets the next change of the peer's state be announced. Call it after
    /// [`LinkEvent::StateChanged`], before reading the [`state`](Link::state).
    pub(crate) fn acknowledge_state_change(&self) {
        self.peer.state_change_announced.store(false, Ordering::Release);
    }

    /// The shortest of the last round trips.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        match self.peer.round_trip.load(Ordering::Relaxed) {
            u64::MAX => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }
}
