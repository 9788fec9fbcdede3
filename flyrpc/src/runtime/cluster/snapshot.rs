//! Publishes the view of the cluster: the table that calls read, the peers, and events.
//!
//! A view of a thousand peers changes one peer at a time. So only dirty peers are examined, and
//! each table shares all unchanged parts with the previous one.

use std::{collections::BTreeMap, sync::Arc};

use super::{peer::Peer, peer_table::PeerTable};
use crate::{
    error::Known,
    proto::routing::{Entry, Table},
    runtime::{
        link::Link,
        shared::{NodeShared, PeerKey},
    },
    types::{Event, NoSupport, NodeId, NodeInfo},
};

/// The state that was last published, and the events to emit next.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    peers: BTreeMap<PeerKey, PublishedPeer>,
    /// The live nodes, each at its addresses in order. A boot that claims two addresses has two entries until one of
    /// them is removed.
    live: BTreeMap<NodeId, Vec<(PeerKey, NodeInfo)>>,
    dirty: bool,
    /// Whether the state of a link has changed since the last publication.
    links_changed: bool,
    /// Emitted after the next publication, so that a listener can look up the node that an event
    /// refers to.
    events: Vec<Event>,
}

/// The published state of one peer.
#[derive(Debug, Default)]
struct PublishedPeer {
    entry: Option<Arc<Entry<Arc<Link>>>>,
    /// Why no node can be called at the address, if that counts in the errors of calls.
    unusable: Option<Unusable>,
}

/// Why no node can be called at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unusable {
    NotFlyrpc,
    OtherCluster,
    OtherSecret,
    Unreachable,
}

impl Unusable {
    /// The count of the addresses that are unusable for this reason.
    fn count(self, addresses: &mut Known) -> &mut u32 {
        match self {
            Unusable::NotFlyrpc => &mut addresses.not_flyrpc,
            Unusable::OtherCluster => &mut addresses.other_cluster,
            Unusable::OtherSecret => &mut addresses.other_secret,
            Unusable::Unreachable => &mut addresses.unreachable,
        }
    }
}

impl PublishedPeer {
    fn of(peer: &Peer) -> Self {
        let why = peer.no_support();
        // A node that was linked and now accepts connections but sends nothing is suspended.
        let is_suspended = matches!(why, Some(NoSupport::Mute)) && peer.info().is_some();
        let is_redialed = why.is_none() && peer.is_disconnected();
        let unreachable =
            matches!(why, Some(NoSupport::Unreachable(_))) || is_suspended || is_redialed;
        // A peer that speaks another protocol version but has identified itself counts as a node.
        let is_node = matches!(why, Some(NoSupport::Protocol { .. })) && peer.info().is_some();
        let is_this_node = matches!(why, Some(NoSupport::Oneself));
        let unusable = match why {
            // Without a member, only a seed is dialed. Other addresses are about to be forgotten.
            _ if unreachable => {
                (peer.member().is_none() && peer.is_seed()).then_some(Unusable::Unreachable)
            }
            None => None,
            Some(_) if is_node || is_this_node || !peer.is_known() => None,
            Some(NoSupport::OtherCluster(_)) => Some(Unusable::OtherCluster),
            Some(NoSupport::OtherSecret(_) | NoSupport::SecretRequired | NoSupport::NoSecret) => {
                Some(Unusable::OtherSecret)
            }
            Some(_) => Some(Unusable::NotFlyrpc),
        };
        PublishedPeer { entry: peer.entry().map(Arc::new), unusable }
    }

    /// The node, if it is live.
    fn live(&self) -> Option<&NodeInfo> {
        self.entry.as_ref().filter(|entry| !entry.disconnected).map(|entry| &entry.info)
    }
}

/// For each boot whose liveness may change in a publication: the node as it was live before, or
/// `None` if it was not live.
type Previous = BTreeMap<NodeId, Option<NodeInfo>>;

impl Publisher {
    /// Makes the next step publish.
    pub(super) fn mark_dirty(&mut self) {
        self.dirty = true;
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Makes the next step publish the view and wake the calls that wait for a change, because the state
    /// of a link has changed.
    pub(super) fn mark_links_changed(&mut self) {
        self.dirty = true;
        self.links_changed = true;
    }

    /// Emits `event` after the next publication.
    pub(super) fn emit_later(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Publishes all changes of `peers`, and emits the resulting events.
    pub(super) fn publish(&mut self, shared: &NodeShared, peers: &mut PeerTable, ready: bool) {
        let dirty = peers.take_unpublished();
        let mut table = Table::clone(&shared.table());
        let mut table_changed = table.ready != ready;
        table.ready = ready;
        let (mut changes, mut previous) = (Vec::with_capacity(dirty.len()), Previous::new());
        let mut inserted = Vec::new();
        for key in &dirty {
            let peer = peers.get(key);
            table_changed |= self.update(key, peer, &mut table, &mut inserted, &mut previous);
            let visible = peer.filter(|peer| {
                peer.is_known() && !peer.awaits_verdict() && !peers.is_linked_alias(peer)
            });
            changes.push((key.clone(), visible.map(|peer| peer.snapshot(key.addr()))));
        }
        // Inserted after all removals, because a node may have moved from one peer to another.
        inserted.into_iter().for_each(|entry| table.insert(entry));
        let links_changed = std::mem::take(&mut self.links_changed);
        shared.publish(table_changed.then_some(table), changes, links_changed);
        self.dirty = false;
        self.events.drain(..).for_each(|event| shared.emit(event));
        self.emit_liveness_changes(shared, peers, &previous);
        // Peers are removed last, because only a peer records whether its node left or went down.
        peers.remove_unknown(&dirty);
    }

    /// Updates one peer in this publisher, and removes its previous entry from `table`. Appends the
    /// entry to insert to `inserted`. Returns whether the table changes.
    fn update(
        &mut self,
        key: &PeerKey,
        peer: Option<&Peer>,
        table: &mut Table<Arc<Link>>,
        inserted: &mut Vec<Arc<Entry<Arc<Link>>>>,
        previous: &mut Previous,
    ) -> bool {
        let mut now = peer.map(PublishedPeer::of).unwrap_or_default();
        let last = self.peers.remove(key).unwrap_or_default();
        if let Some(unusable) = now.unusable {
            *unusable.count(&mut table.addresses) += 1;
        }
        if let Some(unusable) = last.unusable {
            *unusable.count(&mut table.addresses) -= 1;
        }
        let counts = now.unusable != last.unusable;
        let same = is_same(last.entry.as_deref(), now.entry.as_deref());
        if same {
            now.entry = last.entry;
        } else {
            self.update_live(key, last.live(), now.live(), previous);
            last.entry.iter().for_each(|entry| table.remove(&entry.info));
            inserted.extend(now.entry.clone());
        }
        if now.entry.is_some() || now.unusable.is_some() {
            self.peers.insert(key.clone(), now);
        }
        counts || !same
    }

    fn update_live(
        &mut self,
        key: &PeerKey,
        last: Option<&NodeInfo>,
        now: Option<&NodeInfo>,
        previous: &mut Previous,
    ) {
        for id in last.into_iter().chain(now).map(NodeInfo::id) {
            if !previous.contains_key(id) {
                previous.insert(id.clone(), self.live(id).cloned());
            }
        }
        if let Some(node) = last
            && let Some(at) = self.live.get_mut(node.id())
        {
            at.retain(|(other, _)| other != key);
            if at.is_empty() {
                self.live.remove(node.id());
            }
        }
        if let Some(node) = now {
            let entry = (key.clone(), node.clone());
            let at = self.live.entry(node.id().clone()).or_insert_with(|| Vec::with_capacity(1));
            at.retain(|(other, _)| other != key);
            at.insert(at.partition_point(|(other, _)| other < key), entry);
        }
    }

    fn live(&self, id: &NodeId) -> Option<&NodeInfo> {
        self.live.get(id)?.last().map(|(_, node)| node)
    }

    /// Emits an event for each node that has become live or is no longer live.
    fn emit_liveness_changes(&self, shared: &NodeShared, peers: &PeerTable, previous: &Previous) {
        for (id, node) in previous {
            let Some(node) = node else { continue };
            if self.live(id).is_some() {
                continue;
            }
            let event = if peers.of(node).is_some_and(|peer| peer.is_leaving(node)) {
                tracing::info!(%node, "node left");
                Event::Left(node.clone())
            } else {
                tracing::info!(%node, "node down");
                Event::Down(node.clone())
            };
            shared.emit(event);
        }
        for (id, _) in previous.iter().filter(|(_, node)| node.is_none()) {
            if let Some(node) = self.live(id) {
                tracing::info!(%node, "node up");
                shared.emit(Event::Up(node.clone()));
            }
        }
    }
}

fn is_same(a: Option<&Entry<Arc<Link>>>, b: Option<&Entry<Arc<Link>>>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    let links = match (&a.link, &b.link) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (a, b) => a.is_none() && b.is_none(),
    };
    let same_state = a.disconnected == b.disconnected
        && a.unreachable == b.unreachable
        && a.other_protocol == b.other_protocol;
    links && a.info == b.info && same_state
}
