//! What the task makes known: the table that calls read, the peers, and events.

use std::{collections::BTreeMap, time::Duration};

use super::Cluster;
use crate::{
    NodeId, NodeInfo,
    peers::{self, NoSupport},
    routing::Table,
};

impl Cluster {
    /// Publishes who is known, and tells of those who came and went.
    pub(super) fn publish(&mut self) {
        let now = self.now();
        let mut table = Table::empty();
        let mut live = BTreeMap::new();
        let mut known = Vec::with_capacity(self.peers.len());
        for (addr, peer) in &self.peers {
            if peer.is_known() && !self.is_reached_elsewhere(peer) {
                known.push(peer.known(*addr));
            }
            match &peer.support {
                Some(NoSupport::Unreachable(_)) if !peer.member => table.unreachable += 1,
                Some(NoSupport::Unreachable(_)) | None => {}
                // Counted as a node.
                Some(NoSupport::Protocol { .. }) if peer.info.is_some() => {}
                Some(_) => table.not_flyrpc += 1,
            }
            if let Some(entry) = peer.entry() {
                if !entry.lost {
                    live.insert(entry.info.id().clone(), entry.info.clone());
                }
                table.insert(entry);
            }
        }
        self.ready = self.ready || self.is_ready(now);
        table.ready = self.ready;
        let before = std::mem::replace(&mut self.live, live);
        self.hub.publish(table, known);
        self.changed = false;
        self.news.drain(..).for_each(|event| self.hub.emit(event));
        self.tell_of_changes(&before);
    }

    /// Tells who came and went since `before`.
    fn tell_of_changes(&self, before: &BTreeMap<NodeId, NodeInfo>) {
        for (_, node) in before.iter().filter(|(id, _)| !self.live.contains_key(*id)) {
            let peer = self.peers.get(&node.addr());
            let event = if peer.is_some_and(|peer| peer.left && peer.info.as_ref() == Some(node)) {
                tracing::info!(%node, "node left");
                peers::Event::Left(node.clone())
            } else {
                tracing::info!(%node, "node down");
                peers::Event::Down(node.clone())
            };
            self.hub.emit(event);
        }
        for (_, node) in self.live.iter().filter(|(id, _)| !before.contains_key(*id)) {
            tracing::info!(%node, "node up");
            self.hub.emit(peers::Event::Up(node.clone()));
        }
    }

    /// Whether the first round of looking for nodes is over.
    pub(super) fn is_ready(&self, now: Duration) -> bool {
        self.discovery.first_answer().is_some_and(|first| {
            first.iter().all(|addr| {
                let Some(peer) = self.peers.get(addr) else { return true };
                let elsewhere = peer.alias_of.and_then(|addr| self.peers.get(&addr));
                peer.is_settled(now) || elsewhere.is_some_and(|peer| peer.is_settled(now))
            })
        })
    }
}
