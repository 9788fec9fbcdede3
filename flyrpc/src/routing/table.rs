//! Who is known: a snapshot that calls read without a lock, made anew when something changes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{NodeId, NodeInfo, Refusal, Region};

/// Whether calls can be sent over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
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
pub(crate) trait Reach {
    /// Whether calls of `service` can be sent.
    fn standing(&self, service: &str) -> Standing;

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
#[derive(Debug)]
pub(crate) struct Table<L> {
    regions: BTreeMap<Region, Vec<Arc<Entry<L>>>>,
    nodes: BTreeMap<NodeId, Arc<Entry<L>>>,
    /// Addresses where something other than flyrpc answers.
    pub(crate) not_flyrpc: usize,
    /// Addresses where nothing answers.
    pub(crate) unreachable: usize,
    /// Whether the first round of looking for nodes is over.
    pub(crate) ready: bool,
}

impl<L> Table<L> {
    /// A table of nobody.
    pub(crate) fn empty() -> Self {
        Table {
            regions: BTreeMap::new(),
            nodes: BTreeMap::new(),
            not_flyrpc: 0,
            unreachable: 0,
            ready: false,
        }
    }

    /// Adds a live node.
    pub(crate) fn insert(&mut self, entry: Entry<L>) {
        let entry = Arc::new(entry);
        // Whoever cannot be called has not proved to be that node.
        if !entry.other_protocol || !self.nodes.contains_key(entry.info.id()) {
            self.nodes.insert(entry.info.id().clone(), Arc::clone(&entry));
        }
        self.regions.entry(entry.info.region().clone()).or_default().push(entry);
    }

    /// The live nodes of a region.
    pub(crate) fn region(&self, region: &Region) -> &[Arc<Entry<L>>] {
        self.regions.get(region).map_or(&[], Vec::as_slice)
    }

    /// One live node.
    pub(crate) fn node(&self, id: &NodeId) -> Option<&Arc<Entry<L>>> {
        self.nodes.get(id)
    }

    /// All live nodes, by id.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Arc<Entry<L>>> {
        self.nodes.values()
    }
}
