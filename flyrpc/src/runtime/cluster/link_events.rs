//! The actor's handlers for links: opened, changed, ended.

use std::{net::SocketAddr, sync::Arc};

use super::{
    actor::Cluster,
    dial::{self, DIAL_TIEBREAK_DELAY},
    links,
    peer::Peer,
};
use crate::{
    proto::{
        membership::Channel,
        wire::{frame::GoAway, state::State},
    },
    runtime::{
        link::{Handshaken, Link, LinkError, LinkEvent},
        shared::PeerKey,
    },
    telemetry::Observed,
    types::{Event, NodeInfo, Support},
};

impl Cluster {
    /// Turns a connection into a link, and returns the key of the peer that holds the link. It is the
    /// only link to its node, or one of two if both nodes dialed at the same time.
    pub(super) fn on_handshaken(&mut self, handshaken: Handshaken) -> PeerKey {
        let announced = Arc::clone(handshaken.announced());
        let key = self.key_for(handshaken.peer());
        let link = links::start(&self.shared, self.tasks.local_hello.heartbeat(), handshaken);
        if self.leaving.is_some() {
            // The peer may have sent requests before it learned that this node leaves. They are refused, so that it
            // makes the calls on other nodes, and this node waits until the link is drained.
            link.drain(GoAway::Leaving);
        }
        self.shared.on_handshake("OK");
        self.shared.notify(&Observed::LinkOpened(link.peer()));
        if !key.is_rival() {
            let channel = link.sealed_with().map_or(Channel::Open, Channel::Sealed);
            self.membership.on_linked(key.addr(), channel);
        }
        // The state may have changed since the hello was sent.
        let state = self.shared.server().state();
        if !Arc::ptr_eq(&announced, &state) {
            link.send_state(&state);
        }
        let (now, is_new) = (self.now(), self.peers.get(&key).is_none());
        let claims_own_address = key.addr() == self.shared.me().addr();
        if claims_own_address {
            // Datagrams to that node arrive here, so it is a rival that gossip cannot list.
            self.on_address_conflict(&self.shared.me().clone(), link.peer());
        } else {
            self.gossip_watch.on_linked(now, link.peer());
        }
        let peer = self.peers.entry(&key);
        let before = peer.support();
        peer.on_linked(now, self.shared.me().id(), Arc::clone(&link));
        if key.is_rival() && is_new && !claims_own_address {
            peer.await_verdict();
            self.question(key.addr());
        } else if !peer.awaits_verdict() {
            self.on_usable(&link, &key, &before);
        }
        key
    }

    /// Turns a connection of a visitor into a link. No other node learns of it.
    pub(super) fn on_visitor(&mut self, handshaken: Handshaken) {
        let visitors = self.shared.visitors();
        if self.leaving.is_some() || !visitors.has_room() {
            // Dropping the connection closes it.
            return;
        }
        let heartbeat = self.tasks.local_hello.heartbeat();
        let link = links::start_visitor(&self.shared, heartbeat, handshaken);
        tracing::info!(visitor = %link.peer(), from = %link.peer().addr(), "visitor linked");
        self.shared.on_handshake("OK");
        visitors.add(link);
    }

    /// Returns the key for a new link to `node`. If a link to another boot at its address is open, this
    /// is the key of a rival until it is known whether the other boot is alive. A node that advertises
    /// this node's address is always a rival.
    fn key_for(&self, node: &NodeInfo) -> PeerKey {
        if node.addr() == self.shared.me().addr() {
            return PeerKey::rival(node);
        }
        let key = self.peers.key_of(node);
        let holder = self.peers.get(&key).and_then(|peer| peer.link());
        if holder.is_some_and(|link| link.peer().id() != node.id()) {
            PeerKey::rival(node)
        } else {
            key
        }
    }

    /// Handles a link whose node can now be called. `before` states whether it could be called earlier.
    fn on_usable(&mut self, link: &Arc<Link>, key: &PeerKey, before: &Support) {
        let (addr, peer) = (key.addr(), self.peers.entry(key));
        // Once this node is ready, a peer that gossip announced needs no sync unless it is a seed,
        // because gossip has also delivered its members. If a node that joins a large cluster
        // synced with each such peer, it would compare its members once per peer.
        let sync = peer.is_seed() || !peer.is_member() || !self.readiness.is_ready();
        if *before != Support::Supported {
            tracing::info!(node = %link.peer(), %addr, "node linked");
            let (node, support) = (Some(link.peer().clone()), peer.support());
            self.publisher.emit_later(Event::SupportChanged { addr, node, support });
        }
        self.compare_primary(link);
        if sync {
            self.sync.enqueue(link.peer().clone());
        }
    }

    /// Pings the boot that holds an address, to determine whether it is alive, because a rival claims
    /// the address.
    fn question(&mut self, addr: SocketAddr) {
        let Some(peer) = self.peers.get_mut(addr) else { return };
        if let Some(link) = peer.link().cloned()
            && peer.begin_question()
        {
            self.questions.push(link.peer().clone());
        }
    }

    /// Handles the end of a ping of `holder`, whose address a rival claims. If `holder` answered, it
    /// keeps its address, and both nodes can be called. Otherwise, its link ends, and the rival takes
    /// over.
    pub(super) fn on_questioned(&mut self, holder: &NodeInfo, answered: bool) {
        let addr = holder.addr();
        let Some(peer) = self.peers.get_mut(addr) else { return };
        peer.end_question();
        let Some(link) = peer.link().cloned() else { return self.hand_over(addr) };
        let waiting = self.waiting_rivals(addr);
        if waiting.is_empty() {
            return;
        }
        if link.peer().id() != holder.id() {
            return self.question(addr);
        }
        if !answered {
            return link.end(LinkError::AddressTaken);
        }
        for key in waiting {
            let peer = self.peers.entry(&key);
            if let Some(link) = peer.admit() {
                self.on_address_conflict(holder, link.peer());
                self.on_usable(&link, &key, &Support::Unknown);
            }
        }
    }

    fn waiting_rivals(&self, addr: SocketAddr) -> Vec<PeerKey> {
        let mut rivals = self.peers.rivals(addr);
        rivals.retain(|key| self.peers.get(key).is_some_and(|peer| peer.awaits_verdict()));
        rivals
    }

    /// Gives an address to the rival that was linked last, because the boot that held it has no open
    /// link. A rival that waits for a verdict takes precedence, because it may be the next boot of that
    /// node.
    fn hand_over(&mut self, addr: SocketAddr) {
        let rivals = self.peers.rivals(addr);
        let Some(key) = self.waiting_rivals(addr).pop().or_else(|| rivals.last().cloned()) else {
            return;
        };
        let Some(rival) = self.peers.remove(&key) else { return };
        let peer = self.peers.entry(addr);
        let before = if rival.awaits_verdict() { peer.support() } else { Support::Supported };
        if let Some(link) = peer.take_over(rival) {
            self.on_usable(&link, &addr.into(), &before);
        }
        if !self.waiting_rivals(addr).is_empty() {
            self.question(addr);
        }
    }

    /// Reports two live nodes that advertise the same address. Each pair is reported once.
    fn on_address_conflict(&mut self, holder: &NodeInfo, claimant: &NodeInfo) {
        if !self.conflicts.is_new(holder.id(), claimant.id()) {
            return;
        }
        let addr = claimant.addr();
        tracing::warn!(
            %addr,
            %holder,
            %claimant,
            "two nodes advertise the same address; set `advertise` (FLYRPC_ADVERTISE) of each to \
             its own"
        );
        let (holder, claimant) = (holder.clone(), claimant.clone());
        self.publisher.emit_later(Event::AddressConflict { addr, holder, claimant });
    }

    pub(super) fn on_link_event(&mut self, link: &Arc<Link>, event: LinkEvent) {
        match event {
            LinkEvent::StateChanged => {
                link.acknowledge_state_change();
                let state = link.state();
                let peer = self.mark_link_changed(link);
                let before = peer.and_then(|peer| peer.observe_state(&state));
                self.compare_primary(link);
                self.emit_state(link.peer(), before.as_deref(), &state);
            }
            LinkEvent::QuietChanged | LinkEvent::GoAway(GoAway::Replaced) => {
                self.mark_link_changed(link);
            }
            LinkEvent::GoAway(GoAway::Leaving) => {
                if let Some(peer) = self.mark_link_changed(link) {
                    peer.on_leaving(link.peer());
                }
            }
            // Calls look at ejections and budgets themselves. Thousands that wait must not look for a node again
            // because of one, so nothing is marked.
            LinkEvent::Ejected => {
                tracing::warn!(node = %link.peer(), "node ejected: most calls to it fail");
                self.shared.emit(Event::Ejected(link.peer().clone()));
            }
            LinkEvent::Restored => {
                tracing::info!(node = %link.peer(), "node restored after its ejection");
                self.shared.emit(Event::Restored(link.peer().clone()));
            }
            LinkEvent::RetriesExhausted => {
                let region = link.peer().region().clone();
                tracing::warn!(%region, "budget for retries exhausted; failed calls are not retried");
                self.shared.emit(Event::RetriesExhausted(region));
            }
            LinkEvent::Ended(error) => {
                self.mark_link_changed(link);
                self.on_link_ended(link, &error);
            }
        }
    }

    /// Makes the next step publish a link that may have opened or closed to new calls. Returns its peer.
    fn mark_link_changed(&mut self, link: &Link) -> Option<&mut Peer> {
        self.publisher.mark_links_changed();
        self.peers.of_mut(link.peer())
    }

    fn on_link_ended(&mut self, link: &Arc<Link>, error: &LinkError) {
        let (now, node) = (self.now(), link.peer());
        let key = self.peers.key_of(node);
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let jitter = self.shared.env().random();
        if !peer.remove_link(link) {
            return;
        }
        self.shared.notify(&Observed::LinkClosed(node, &error.to_string()));
        let has_boot = peer.links().has_boot(node.id());
        if peer.has_left() {
            peer.on_disconnected(now, DIAL_TIEBREAK_DELAY, jitter);
        } else if !matches!(error, LinkError::Drained) && peer.link().is_none() {
            tracing::warn!(%node, %error, "link lost");
            // Both ends lose a link at the same time. The tiebreak lets one of them dial first.
            let tiebreak = dial::tiebreak_delay(self.shared.me().id(), node.id());
            peer.on_disconnected(now, tiebreak, jitter);
        }
        let is_free = !key.is_rival() && peer.link().is_none();
        let is_gone = is_free && !peer.is_member();
        if !has_boot {
            self.primaries.remove(node.id());
            self.gossip_watch.on_unlinked(node.id());
        }
        if is_gone {
            self.membership.on_gone(key.addr());
        }
        if is_free {
            self.hand_over(key.addr());
        }
    }

    /// Emits events that report how the calls that a peer accepts have changed.
    fn emit_state(&self, node: &NodeInfo, before: Option<&State>, state: &State) {
        let accepting = state.accepts_calls();
        tracing::info!(%node, accepting, withdrawn = ?state.withdrawn, "node state changed");
        if before.is_none_or(|before| before.accepts_calls() != accepting) {
            self.shared.emit(Event::AcceptingChanged { node: node.clone(), accepting });
        }
        if before.is_some_and(|before| before.withdrawn != state.withdrawn) {
            let (addr, node) = (node.addr(), Some(node.clone()));
            let support = Support::Supported;
            self.shared.emit(Event::SupportChanged { addr, node, support });
        }
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
