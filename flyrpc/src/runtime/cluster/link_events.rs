//! The actor's handlers for links: opened, changed, ended.

use std::sync::Arc;

use super::{
    actor::Cluster,
    dial::{self, DIAL_TIEBREAK_DELAY},
    links,
};
use crate::{
    proto::wire::frame::GoAway,
    runtime::link::{Handshaken, Link, LinkError, LinkEvent},
    telemetry::Observed,
    types::{Event, Support},
};

impl Cluster {
    /// Turns a connection into a link. It is the only link to its node, or one of two if both nodes
    /// dialed at the same time.
    pub(super) fn on_handshaken(&mut self, handshaken: Handshaken) {
        let (addr, announced) = (handshaken.peer().addr(), Arc::clone(handshaken.announced()));
        let link = links::start(&self.shared, self.tasks.local_hello.heartbeat(), handshaken);
        if self.leaving.is_some() {
            return link.end(LinkError::ShutDown);
        }
        self.shared.notify(&Observed::LinkOpened(link.peer()));
        // The state may have changed since the hello was sent.
        let state = self.shared.server().state();
        if !Arc::ptr_eq(&announced, &state) {
            link.send_state(&state);
        }
        let now = self.now();
        let peer = self.peers.entry(addr);
        let before = peer.support();
        peer.on_linked(now, self.shared.me().id(), Arc::clone(&link));
        // Once this node is ready, a peer that gossip announced needs no sync unless it is a seed,
        // because gossip has also delivered its members. If a node that joins a large cluster
        // synced with each such peer, it would compare its members once per peer.
        let sync = peer.is_seed() || !peer.is_member() || !self.readiness.is_ready();
        if before != Support::Supported {
            tracing::info!(node = %link.peer(), %addr, "node linked");
            let (node, support) = (Some(link.peer().clone()), peer.support());
            self.publisher.emit_later(Event::SupportChanged { addr, node, support });
        }
        self.compare_primary(&link);
        if sync {
            self.sync.enqueue(link.peer().clone());
        }
    }

    pub(super) fn on_link_event(&mut self, link: &Arc<Link>, event: LinkEvent) {
        self.publisher.mark_dirty();
        // Marks the peer dirty: with any of these events, the link may have closed to new calls.
        let peer = self.peers.get_mut(link.peer().addr());
        match event {
            LinkEvent::StateChanged => {
                link.acknowledge_state_change();
                self.compare_primary(link);
                self.emit_state(link);
            }
            LinkEvent::QuietChanged => {}
            LinkEvent::GoAway(GoAway::Replaced) => {}
            LinkEvent::GoAway(GoAway::Leaving) => {
                if let Some(peer) = peer {
                    peer.on_leaving(link.peer());
                }
            }
            LinkEvent::Ended(error) => self.on_link_ended(link, &error),
        }
    }

    fn on_link_ended(&mut self, link: &Arc<Link>, error: &LinkError) {
        let (now, node) = (self.now(), link.peer());
        let Some(peer) = self.peers.get_mut(node.addr()) else { return };
        let jitter = self.shared.env().random();
        // A link that opened while this node was leaving was never added.
        if peer.remove_link(link) {
            self.shared.notify(&Observed::LinkClosed(node, &error.to_string()));
        }
        if !peer.links().has_boot(node.id()) {
            self.primaries.remove(node.id());
        }
        if peer.has_left() {
            return peer.on_disconnected(now, DIAL_TIEBREAK_DELAY, jitter);
        }
        if matches!(error, LinkError::Drained) || peer.link().is_some() {
            return;
        }
        tracing::warn!(%node, %error, "link lost");
        // Both ends lose a link at the same time. The tiebreak lets one of them dial first.
        let tiebreak = dial::tiebreak_delay(self.shared.me().id(), node.id());
        peer.on_disconnected(now, tiebreak, jitter);
    }

    /// Emits an event that reports which calls a peer now accepts.
    fn emit_state(&self, link: &Link) {
        let (node, state) = (link.peer(), link.state());
        let accepting = state.accepting && !state.draining;
        tracing::info!(%node, accepting, withdrawn = ?state.withdrawn, "node state changed");
        self.shared.emit(Event::SupportChanged {
            addr: node.addr(),
            node: Some(node.clone()),
            support: Support::Supported,
        });
    }

    fn compare_primary(&mut self, link: &Link) {
        let (node, state, ours) = (link.peer(), link.state(), self.shared.primary_region());
        let theirs = &state.primary_region;
        if self.primaries.is_new(node.id(), theirs, ours) {
            tracing::warn!(%node, %theirs, %ours, "nodes disagree on the primary region");
            let (node, theirs, ours) = (node.clone(), theirs.clone(), ours.clone());
            self.publisher.emit_later(Event::PrimaryDisagreement { node, theirs, ours });
        }
    }
}
