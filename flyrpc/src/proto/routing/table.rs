//! The table of known nodes: an immutable snapshot that calls read without a lock. Every change
//! publishes a new snapshot.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use super::{endpoint::Endpoint, entry::Entry, region_nodes::RegionNodes};
use crate::{
    error::Known,
    types::{NodeId, NodeInfo, Region},
};

/// All live nodes except this one.
///
/// A clone shares all entries with its original. A change to it then copies only the region of the
/// changed node and one shard of the index by id.
#[derive(Debug)]
pub(crate) struct Table<L> {
    /// Each region's nodes.
    regions: BTreeMap<Region, Arc<RegionNodes<L>>>,
    /// The index by id, in shards by boot number. Each shard is sorted by id, then by address, because
    /// two addresses may claim one id.
    shards: Vec<Arc<Entries<L>>>,
    /// The numbers of addresses where no node can be called, by reason. The counts of nodes are 0.
    pub(crate) addresses: Known,
    /// Whether the first round of discovery is complete.
    pub(crate) ready: bool,
}

type Entries<L> = Vec<Arc<Entry<L>>>;

/// The number of shards of the index by id.
const SHARDS: u64 = 64;

impl<L> Table<L> {
    /// Creates a table without nodes.
    pub(crate) fn empty() -> Self {
        Table {
            regions: BTreeMap::new(),
            shards: vec![Arc::default(); SHARDS as usize],
            addresses: Known::default(),
            ready: false,
        }
    }

    /// Returns the live nodes of a region.
    pub(crate) fn region(&self, region: &Region) -> &[Arc<Entry<L>>] {
        self.regions.get(region).map_or(&[], |nodes| nodes.all())
    }

    /// Returns the live nodes of a region, with their index by service, if there are any.
    pub(super) fn region_nodes(&self, region: &Region) -> Option<&RegionNodes<L>> {
        self.regions.get(region).map(|nodes| &**nodes)
    }

    /// Returns the live nodes of each region.
    pub(super) fn regions(&self) -> impl Iterator<Item = &RegionNodes<L>> {
        self.regions.values().map(|nodes| &**nodes)
    }

    /// Returns the regions with at least one node that is not disconnected, in order.
    pub(crate) fn live_regions(&self) -> Vec<Region> {
        let is_live = |nodes: &RegionNodes<L>| nodes.all().iter().any(|entry| !entry.disconnected);
        let live = self.regions.iter().filter(|(_, entries)| is_live(entries));
        live.map(|(region, _)| region.clone()).collect()
    }

    /// Returns the live node with this id.
    pub(crate) fn node(&self, id: &NodeId) -> Option<&Arc<Entry<L>>> {
        let shard = &self.shards[shard_of(id)];
        let after = shard.partition_point(|entry| entry.info.id() <= id);
        let mut claims = shard[..after].iter().rev().take_while(|entry| entry.info.id() == id);
        // Prefer an entry that can be called: any other has not proved that it is that node.
        let last = claims.clone().next();
        claims.find(|entry| !entry.other_protocol).or(last)
    }

    /// Returns all live nodes, by region.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Arc<Entry<L>>> {
        self.regions.values().flat_map(|nodes| nodes.all())
    }
}

impl<L: Endpoint> Table<L> {
    /// Adds a live node, or replaces its entry.
    pub(crate) fn insert(&mut self, entry: Arc<Entry<L>>) {
        let by_id = Arc::make_mut(&mut self.shards[shard_of(entry.info.id())]);
        match by_id.binary_search_by(by_id_of(&entry.info)) {
            Ok(at) => by_id[at] = Arc::clone(&entry),
            Err(at) => by_id.insert(at, Arc::clone(&entry)),
        }
        let region = self.regions.entry(entry.info.region().clone()).or_default();
        Arc::make_mut(region).insert(entry);
    }

    /// Removes a node.
    pub(crate) fn remove(&mut self, info: &NodeInfo) {
        let by_id = Arc::make_mut(&mut self.shards[shard_of(info.id())]);
        if let Ok(at) = by_id.binary_search_by(by_id_of(info)) {
            by_id.remove(at);
        }
        let Some(region) = self.regions.get_mut(info.region()) else { return };
        Arc::make_mut(region).remove(info);
        if region.all().is_empty() {
            self.regions.remove(info.region());
        }
    }
}

// Not derived, because that would require `L: Clone`.
impl<L> Clone for Table<L> {
    fn clone(&self) -> Self {
        Table { regions: self.regions.clone(), shards: self.shards.clone(), ..*self }
    }
}

fn shard_of(id: &NodeId) -> usize {
    // Boot numbers are random, so shards are of similar size.
    (id.boot() % SHARDS) as usize
}

fn by_id_of<L>(info: &NodeInfo) -> impl Fn(&Arc<Entry<L>>) -> Ordering {
    |entry| (entry.info.id(), entry.info.addr()).cmp(&(info.id(), info.addr()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::routing::testing::Path;

    fn entry(boot: u64, region: &str, port: u16) -> Arc<Entry<Path>> {
        let id = NodeId::new(format!("n{boot}"), boot);
        let info = NodeInfo::new(id, Region::from(region), ([10, 0, 0, 1], port).into());
        Arc::new(Entry::linked(info, None))
    }

    fn boots<'a>(entries: impl IntoIterator<Item = &'a Arc<Entry<Path>>>) -> Vec<u64> {
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
    fn a_changed_clone_shares_unchanged_regions() {
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
