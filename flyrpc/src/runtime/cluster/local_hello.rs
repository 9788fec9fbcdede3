//! The hello that this node sends on each new link.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{
    proto::wire::hello::{EncodedHello, State},
    runtime::{link::LocalHello, shared::NodeShared},
};

/// Creates this node's hello, and caches it until the node's state changes.
#[derive(Clone)]
pub(super) struct LocalHelloSource {
    shared: Arc<NodeShared>,
    cluster: String,
    heartbeat: Duration,
    cached: Arc<ArcSwap<LocalHello>>,
}

impl LocalHelloSource {
    pub(super) fn new(shared: Arc<NodeShared>, cluster: String, heartbeat: Duration) -> Self {
        let hello = encode(&shared, &cluster, heartbeat, shared.server().state());
        let cached = Arc::new(ArcSwap::from(hello));
        LocalHelloSource { shared, cluster, heartbeat, cached }
    }

    /// Returns the hello for the node's current state.
    pub(super) fn get(&self) -> Arc<LocalHello> {
        let (cached, state) = (self.cached.load_full(), self.shared.server().state());
        if Arc::ptr_eq(&cached.state, &state) {
            return cached;
        }
        let hello = encode(&self.shared, &self.cluster, self.heartbeat, state);
        self.cached.store(Arc::clone(&hello));
        hello
    }

    pub(super) fn heartbeat(&self) -> Duration {
        self.heartbeat
    }
}

fn encode(
    shared: &NodeShared,
    cluster: &str,
    heartbeat: Duration,
    state: Arc<State>,
) -> Arc<LocalHello> {
    let (node, services) = (shared.me().clone(), shared.server().specs());
    let encoded = EncodedHello::new(cluster, &node, shared.max_body() as u64, services, &state);
    Arc::new(LocalHello { cluster: cluster.to_owned(), node, state, encoded, heartbeat })
}
