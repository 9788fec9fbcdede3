//! What the task makes known: the table that calls read, the peers, and events.
//!
//! What is known of a thousand peers changes peer by peer, so only those that were touched are
//! looked at, and the table shares with the last one all that they leave as it was.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use super::{Cluster, peer::Peer};
use crate::{
    proto::routing::{Entry, Table},
    runtime::link::Link,
    types::{self, NoSupport, NodeId, NodeInfo},
};

/// What was published last.
#[derive(Debug, Default)]
pub(super) struct Published {
    at: BTreeMap<SocketAddr, PublishedPeer>,
    /// The live nodes. A boot that claims two addresses is there twice, until one of them is gone.
    live: BTreeMap<NodeId, BTreeMap<SocketAddr, NodeInfo>>,
}

/// What was published of one address.
#[derive(Debug, Default)]
struct PublishedPeer {
    entry: Option<Arc<Entry<Arc<Link>>>>,
    unreachable: bool,
    not_flyrpc: bool,
}

impl PublishedPeer {
    fn of(peer: &Peer) -> Self {
        let unreachable = matches!(peer.support, Some(NoSupport::Unreachable(_)));
        // Of another protocol, and said who it is: it is counted as a node.
        let is_node =
            matches!(peer.support, Some(NoSupport::Protocol { .. })) && peer.info.is_some();
        PublishedPeer {
            entry: peer.entry().map(Arc::new),
            unreachable: unreachable && !peer.member,
            not_flyrpc: peer.support.is_some() && !unreachable && !is_node,
        }
    }

    /// The node, if it is live.
    fn live(&self) -> Option<&NodeInfo> {
        self.entry.as_ref().filter(|entry| !entry.lost).map(|entry| &entry.info)
    }
}

/// The nodes of which something was published, as they were live before.
type Previous = BTreeMap<NodeId, Option<NodeInfo>>;

impl Published {
    /// Takes over what is now known of an address, here and in `table`. Returns whether that
    /// changes the table.
    fn update(
        &mut self,
        addr: SocketAddr,
        peer: Option<&Peer>,
        table: &mut Table<Arc<Link>>,
        before: &mut Previous,
    ) -> bool {
        let mut now = peer.map(PublishedPeer::of).unwrap_or_default();
        let last = self.at.remove(&addr).unwrap_or_default();
        table.unreachable += usize::from(now.unreachable);
        table.unreachable -= usize::from(last.unreachable);
        table.not_flyrpc += usize::from(now.not_flyrpc);
        table.not_flyrpc -= usize::from(last.not_flyrpc);
        let counts = now.unreachable != last.unreachable || now.not_flyrpc != last.not_flyrpc;
        let same = is_same(last.entry.as_deref(), now.entry.as_deref());
        if same {
            now.entry = last.entry;
        } else {
            self.note_live(addr, last.live(), now.live(), before);
            last.entry.iter().for_each(|entry| table.remove(&entry.info));
            now.entry.iter().for_each(|entry| table.insert(Arc::clone(entry)));
        }
        if now.entry.is_some() || now.unreachable || now.not_flyrpc {
            self.at.insert(addr, now);
        }
        counts || !same
    }

    fn note_live(
        &mut self,
        addr: SocketAddr,
        last: Option<&NodeInfo>,
        now: Option<&NodeInfo>,
        before: &mut Previous,
    ) {
        for id in last.into_iter().chain(now).map(NodeInfo::id) {
            if !before.contains_key(id) {
                before.insert(id.clone(), self.live(id).cloned());
            }
        }
        if let Some(node) = last
            && let Some(at) = self.live.get_mut(node.id())
        {
            at.remove(&addr);
            if at.is_empty() {
                self.live.remove(node.id());
            }
        }
        if let Some(node) = now {
            self.live.entry(node.id().clone()).or_default().insert(addr, node.clone());
        }
    }

    fn live(&self, id: &NodeId) -> Option<&NodeInfo> {
        self.live.get(id)?.values().next_back()
    }
}

fn is_same(a: Option<&Entry<Arc<Link>>>, b: Option<&Entry<Arc<Link>>>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    let links = match (&a.link, &b.link) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (a, b) => a.is_none() && b.is_none(),
    };
    links && a.info == b.info && a.lost == b.lost && a.other_protocol == b.other_protocol
}

impl Cluster {
    /// Publishes who is known, and tells of those who came and went.
    pub(super) fn publish(&mut self) {
        let touched = self.peers.take_unpublished();
        let mut table = Table::clone(&self.hub.table());
        let (mut known, mut before) = (Vec::with_capacity(touched.len()), Previous::new());
        if !self.ready && self.is_ready(self.now()) {
            self.ready = true;
            self.peers.are_settled();
        }
        let mut is_news = table.ready != self.ready;
        table.ready = self.ready;
        for &addr in &touched {
            let peer = self.peers.get(addr);
            is_news |= self.published.update(addr, peer, &mut table, &mut before);
            let shown =
                peer.filter(|peer| peer.is_known() && !self.peers.is_reached_elsewhere(peer));
            known.push((addr, shown.map(|peer| peer.known(addr))));
        }
        self.hub.publish(is_news.then_some(table), known);
        self.changed = false;
        self.news.drain(..).for_each(|event| self.hub.emit(event));
        self.tell_of_changes(&before);
        // Only now: whether a node that went away had said goodbye is known of its peer.
        self.peers.forget_unknown(&touched);
    }

    /// Tells who came and went, of those who were as `before`.
    fn tell_of_changes(&self, before: &Previous) {
        for (id, node) in before {
            let Some(node) = node else { continue };
            if self.published.live(id).is_some() {
                continue;
            }
            let peer = self.peers.get(node.addr());
            let event = if peer.is_some_and(|peer| peer.left && peer.info.as_ref() == Some(node)) {
                tracing::info!(%node, "node left");
                types::Event::Left(node.clone())
            } else {
                tracing::info!(%node, "node down");
                types::Event::Down(node.clone())
            };
            self.hub.emit(event);
        }
        for (id, _) in before.iter().filter(|(_, node)| node.is_none()) {
            if let Some(node) = self.published.live(id) {
                tracing::info!(%node, "node up");
                self.hub.emit(types::Event::Up(node.clone()));
            }
        }
    }

    /// Whether the first round of looking for nodes is over.
    pub(super) fn is_ready(&mut self, now: Duration) -> bool {
        // Whom it waited for last it most often still waits for.
        if self.awaited.is_some_and(|addr| !self.is_settled(addr, now)) {
            return false;
        }
        let Some(first) = self.discovery.first_answer() else { return false };
        self.awaited = first.iter().copied().find(|addr| !self.is_settled(*addr, now));
        self.awaited.is_none()
    }

    fn is_settled(&self, addr: SocketAddr, now: Duration) -> bool {
        let Some(peer) = self.peers.get(addr) else { return true };
        let elsewhere = peer.alias_of.and_then(|addr| self.peers.get(addr));
        peer.is_settled(now) || elsewhere.is_some_and(|peer| peer.is_settled(now))
    }
}
