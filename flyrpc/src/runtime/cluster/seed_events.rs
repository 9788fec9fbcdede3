//! The handlers of the cluster task for seeds: lookups of their names, and warnings about them.

use std::net::SocketAddr;

use super::actor::Cluster;

impl Cluster {
    pub(super) fn poll_discovery(&mut self) {
        let due = self.discovery.due(self.now());
        due.resolve.into_iter().for_each(|name| self.tasks.resolve(name));
        for addr in due.forgotten {
            if let Some(peer) = self.peers.get_mut(addr) {
                peer.set_seed(false);
                self.publisher.mark_dirty();
            }
        }
    }

    pub(super) fn add_seeds(&mut self, addrs: Vec<SocketAddr>) {
        for addr in addrs {
            self.peers.entry(addr).set_seed(true);
            self.publisher.mark_dirty();
        }
    }

    /// Warns once the node has become ready: of all seeds in one line if none led to another node,
    /// otherwise of each seed whose name does not resolve.
    pub(super) fn warn_of_seeds(&self, is_alone: bool) {
        if is_alone && self.discovery.has_seeds() && self.peers.links().next().is_none() {
            let failures =
                self.discovery.failures().map(|(name, error)| format!("{name}: {error}"));
            let failures: Vec<_> = failures.collect();
            let unresolved = (!failures.is_empty()).then(|| failures.join("; "));
            tracing::warn!(unresolved, "no other node was found at any seed; will keep trying");
        } else {
            self.discovery.failures().for_each(|(name, error)| warn_of_unresolved(name, error));
        }
    }

    pub(super) fn on_resolved(&mut self, name: &str, result: Result<Vec<SocketAddr>, String>) {
        if let Err(error) = &result
            && !self.discovery.is_failing(name)
        {
            if self.readiness.is_ready() {
                warn_of_unresolved(name, error);
            } else {
                // Usual when a cluster starts. If it still fails when the node is ready, that is a warning.
                tracing::info!(%name, %error, "seed could not be resolved yet; will retry");
            }
        }
        let added = self.discovery.on_resolved(self.now(), name, result);
        self.add_seeds(added);
    }
}

fn warn_of_unresolved(name: &str, error: &str) {
    tracing::warn!(%name, %error, "seed could not be resolved; will retry");
}
