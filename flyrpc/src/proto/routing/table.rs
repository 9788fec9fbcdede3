//! Who is known: a snapshot that calls read without a lock, made anew when something changes.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    error::Refusal,
    types::{NodeId, NodeInfo, Region},
};

/// Whether calls can be sent over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkStatus {
    /// They can.
    Good,
    /// They can, but the node has not been heard of lately.
    Quiet,
    /// The node does not take calls of the service.
    NotAccepting(Refusal),
    /// They cannot: the link has ended.
    Lost,
}

/// What routing needs of a link.
pub(crate) trait Endpoint {
    /// Whether calls of `service` can be sent.
    fn standing(&self, service: &str) -> LinkStatus;

    /// The shortest of the last round trips.
    fn round_trip(&self) -> Option<Duration>;
}

/// A live node, other than this one.
#[derive(Debug, Clone)]
pub(crate) struct Entry<L> {
    pub(crate) info: NodeInfo,
    /// The link to it, if one is open.
    pub(crate) link: Option<L>,
    /// Whether a link to it broke and none was opened since.
    pub(crate) lost: bool,
    /// Whether it was last found to speak no version of the protocol that this node speaks.
    pub(crate) other_protocol: bool,
}

/// All live nodes but this one.
///
/// A copy shares all with its original; a change then copies the region of the node that changes,
/// and one of the parts in which nodes are looked up.
#[derive(Debug)]
pub(crate) struct Table<L> {
    /// By address.
    regions: BTreeMap<Region, Arc<Entries<L>>>,
    /// By id, and by address if one is there twice. Each part has the boots that share a remainder.
    nodes: Vec<Arc<Entries<L>>>,
    /// Addresses where something other than flyrpc answers.
    pub(crate) not_flyrpc: usize,
    /// Addresses where nothing answers.
    pub(crate) unreachable: usize,
    /// Whether the first round of looking for nodes is over.
    pub(crate) ready: bool,
}

type Entries<L> = Vec<Arc<Entry<L>>>;

/// In how many parts nodes are looked up.
const PARTS: u64 = 64;

impl<L> Table<L> {
    /// A table of nobody.
    pub(crate) fn empty() -> Self {
        Table {
            regions: BTreeMap::new(),
            nodes: vec![Arc::default(); PARTS as usize],
            not_flyrpc: 0,
            unreachable: 0,
            ready: false,
        }
    }

    /// Adds a live node, or what is new about it.
    pub(crate) fn insert(&mut self, entry: Arc<Entry<L>>) {
        let by_id = &mut self.nodes[part(entry.info.id())];
        insert(Arc::make_mut(by_id), by_id_of(&entry.info), Arc::clone(&entry));
        let by_addr = self.regions.entry(entry.info.region().clone()).or_default();
        insert(Arc::make_mut(by_addr), by_addr_of(&entry.info), Arc::clone(&entry));
    }

    /// Removes a node.
    pub(crate) fn remove(&mut self, info: &NodeInfo) {
        remove(Arc::make_mut(&mut self.nodes[part(info.id())]), by_id_of(info));
        let Some(by_addr) = self.regions.get_mut(info.region()) else { return };
        remove(Arc::make_mut(by_addr), by_addr_of(info));
        if by_addr.is_empty() {
            self.regions.remove(info.region());
        }
    }

    /// The live nodes of a region.
    pub(crate) fn region(&self, region: &Region) -> &[Arc<Entry<L>>] {
        self.regions.get(region).map_or(&[], |entries| entries.as_slice())
    }

    /// One live node.
    pub(crate) fn node(&self, id: &NodeId) -> Option<&Arc<Entry<L>>> {
        let part = &self.nodes[part(id)];
        let after = part.partition_point(|entry| entry.info.id() <= id);
        let mut claims = part[..after].iter().rev().take_while(|entry| entry.info.id() == id);
        // Whoever cannot be called has not proved to be that node.
        let last = claims.clone().next();
        claims.find(|entry| !entry.other_protocol).or(last)
    }

    /// All live nodes, by region.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Arc<Entry<L>>> {
        self.regions.values().flat_map(|entries| entries.iter())
    }
}

// Derived, it would ask that links can be cloned.
impl<L> Clone for Table<L> {
    fn clone(&self) -> Self {
        Table { regions: self.regions.clone(), nodes: self.nodes.clone(), ..*self }
    }
}

fn part(id: &NodeId) -> usize {
    // Boots are numbered at random.
    (id.boot() % PARTS) as usize
}

fn by_id_of<L>(info: &NodeInfo) -> impl Fn(&Arc<Entry<L>>) -> Ordering {
    |entry| (entry.info.id(), entry.info.addr()).cmp(&(info.id(), info.addr()))
}

fn by_addr_of<L>(info: &NodeInfo) -> impl Fn(&Arc<Entry<L>>) -> Ordering {
    |entry| (entry.info.addr(), entry.info.id()).cmp(&(info.addr(), info.id()))
}

fn insert<L>(
    entries: &mut Entries<L>,
    place: impl Fn(&Arc<Entry<L>>) -> Ordering,
    entry: Arc<Entry<L>>,
) {
    match entries.binary_search_by(place) {
        Ok(at) => entries[at] = entry,
        Err(at) => entries.insert(at, entry),
    }
}

fn remove<L>(entries: &mut Entries<L>, place: impl Fn(&Arc<Entry<L>>) -> Ordering) {
    if let Ok(at) = entries.binary_search_by(place) {
        entries.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(boot: u64, region: &str, port: u16) -> Arc<Entry<()>> {
        let id = NodeId::new(format!("n{boot}"), boot);
        let info = NodeInfo::new(id, Region::from(region), ([10, 0, 0, 1], port).into());
        Arc::new(Entry { info, link: None, lost: false, other_protocol: false })
    }

    fn boots<'a>(entries: impl IntoIterator<Item = &'a Arc<Entry<()>>>) -> Vec<u64> {
        entries.into_iter().map(|entry| entry.info.id().boot()).collect()
    }

    #[test]
    fn nodes_are_found_by_region_and_by_id_until_they_are_removed() {
        let mut table = Table::empty();
        for (boot, region, port) in [(1, "iad", 3), (65, "iad", 2), (2, "hkg", 1)] {
            table.insert(entry(boot, region, port));
        }
        assert_eq!(boots(table.region(&"iad".into())), [65, 1]);
        assert_eq!(boots(table.nodes()), [2, 65, 1]);
        assert_eq!(boots(table.node(&NodeId::new("n65", 65))), [65]);
        assert_eq!(boots(table.node(&NodeId::new("n65", 66))), [0; 0]);
        table.remove(&entry(65, "iad", 2).info);
        table.remove(&entry(2, "hkg", 1).info);
        assert_eq!(boots(table.nodes()), [1]);
        assert_eq!(boots(table.node(&NodeId::new("n65", 65))), [0; 0]);
    }

    #[test]
    fn a_changed_copy_shares_what_did_not_change() {
        let mut table = Table::empty();
        table.insert(entry(1, "iad", 1));
        table.insert(entry(2, "hkg", 2));
        let mut copy = table.clone();
        copy.insert(entry(3, "iad", 3));
        assert_eq!(boots(table.region(&"iad".into())), [1]);
        assert_eq!(boots(copy.region(&"iad".into())), [1, 3]);
        let hkg = Region::from("hkg");
        assert!(std::ptr::eq(table.region(&hkg), copy.region(&hkg)));
    }
}
