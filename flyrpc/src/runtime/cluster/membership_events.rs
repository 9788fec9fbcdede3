//! The actor's handlers for gossip: datagrams, and changes of the members.

use super::{actor::Cluster, dial, gossip_log};
use crate::{
    proto::membership::{self, Diagnostic},
    types::NodeInfo,
};

impl Cluster {
    pub(super) fn on_datagram(&mut self, datagram: &[u8]) {
        self.shared.counters().on_datagram_received();
        let (now, peers) = (self.now(), &self.peers);
        let sender = self.membership.handle_datagram(now, datagram, |node| peers.is_linked(node));
        if let Some(sender) = sender {
            self.gossip_watch.on_gossip(now, sender.id());
        }
    }

    /// Handles the membership's events, and sends its datagrams.
    pub(super) fn drain_membership(&mut self) {
        let now = self.now();
        while let Some(event) = self.membership.poll_event() {
            self.publisher.mark_dirty();
            match event {
                membership::Event::Up(node) => {
                    let dial_at = now + dial::tiebreak_delay(self.shared.me().id(), node.id());
                    self.peers.entry(node.addr()).on_member_up(now, node, dial_at);
                }
                membership::Event::Down(node) => self.on_member_down(&node),
                membership::Event::Left(node) => {
                    if let Some(peer) = self.peers.get_mut(node.addr()) {
                        peer.on_member_left(&node);
                    }
                    self.on_member_down(&node);
                }
            }
        }
        while let Some(diagnostic) = self.membership.poll_diagnostic() {
            if let Diagnostic::DatagramIgnored(reason) = &diagnostic {
                self.shared.on_datagram_dropped(reason.reason());
            }
            gossip_log::log(&diagnostic);
        }
        while let Some(datagram) = self.membership.poll_transmit() {
            self.shared.counters().on_datagram_sent();
            // The datagram is dropped if the queue is full, as the network may also drop it.
            let _ = self.datagrams.try_send(datagram);
        }
    }

    fn on_member_down(&mut self, node: &NodeInfo) {
        let peer = self.peers.get_mut(node.addr());
        if peer.as_ref().is_none_or(|peer| peer.link().is_none()) {
            self.membership.on_gone(node.addr());
        }
        if let Some(peer) = peer {
            peer.on_member_down(node.id());
        }
    }
}
