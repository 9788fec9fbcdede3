//! The hello that this node sends on each new link.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{
    config::{Keyring, Sealing},
    proto::wire::{hello::EncodedHello, state::State},
    runtime::{link::LocalHello, shared::NodeShared},
    types::KeyId,
};

/// The parts of the hello that never change, besides those in [`NodeShared`].
#[derive(Debug, Clone)]
pub(super) struct LocalIdentity {
    pub(super) cluster: String,
    pub(super) version: String,
    pub(super) heartbeat: Duration,
    pub(super) sealing: Sealing,
}

/// Creates this node's hello, and caches it until the node's state changes.
#[derive(Clone)]
pub(super) struct LocalHelloSource {
    shared: Arc<NodeShared>,
    identity: LocalIdentity,
    cached: Arc<ArcSwap<LocalHello>>,
}

impl LocalHelloSource {
    pub(super) fn new(shared: Arc<NodeShared>, identity: LocalIdentity) -> Self {
        let hello = encode(&shared, &identity, shared.server().state());
        let cached = Arc::new(ArcSwap::from(hello));
        LocalHelloSource { shared, identity, cached }
    }

    /// Returns the hello for the node's current state.
    pub(super) fn get(&self) -> Arc<LocalHello> {
        let (cached, state) = (self.cached.load_full(), self.shared.server().state());
        if Arc::ptr_eq(&cached.state, &state) {
            return cached;
        }
        let hello = encode(&self.shared, &self.identity, state);
        self.cached.store(Arc::clone(&hello));
        hello
    }

    pub(super) fn heartbeat(&self) -> Duration {
        self.identity.heartbeat
    }
}

fn encode(shared: &NodeShared, identity: &LocalIdentity, state: Arc<State>) -> Arc<LocalHello> {
    let LocalIdentity { cluster, version, heartbeat, sealing } = identity.clone();
    let (node, services) = (shared.me().clone(), shared.server().specs());
    let keys: Vec<KeyId> = sealing.keyring().into_iter().flat_map(Keyring::ids).collect();
    let max_body = shared.max_body() as u64;
    let encoded = EncodedHello::new(&cluster, &node, max_body, services, &state, &keys, &version);
    Arc::new(LocalHello { cluster, node, state, encoded, heartbeat, sealing })
}
