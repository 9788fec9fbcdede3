//! The nodes of one region, with an index of the linked nodes that serve each service.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use super::{endpoint::Endpoint, entry::Entry};
use crate::types::NodeInfo;

/// The nodes of one region.
#[derive(Debug)]
pub(super) struct RegionNodes<L> {
    /// Sorted by address.
    all: Vec<Arc<Entry<L>>>,
    /// For each service, the positions in `all` of the linked nodes that serve it, in order. Positions are cheaper
    /// to copy with each change than references.
    serving: BTreeMap<String, Vec<u32>>,
}

// Not derived, because that would require `L: Default` and `L: Clone`.
impl<L> Default for RegionNodes<L> {
    fn default() -> Self {
        RegionNodes { all: Vec::new(), serving: BTreeMap::new() }
    }
}

impl<L> Clone for RegionNodes<L> {
    fn clone(&self) -> Self {
        RegionNodes { all: self.all.clone(), serving: self.serving.clone() }
    }
}

/// The linked nodes of one region that serve a service.
#[derive(Debug)]
pub(super) struct Serving<'a, L> {
    all: &'a [Arc<Entry<L>>],
    positions: &'a [u32],
}

impl<L> Clone for Serving<'_, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Serving<'_, L> {}

impl<'a, L> Serving<'a, L> {
    pub(super) const NONE: Self = Serving { all: &[], positions: &[] };

    pub(super) fn len(self) -> usize {
        self.positions.len()
    }

    /// # Panics
    ///
    /// If `at` is not less than the [length](Self::len).
    pub(super) fn get(self, at: usize) -> &'a Entry<L> {
        &self.all[self.positions[at] as usize]
    }
}

impl<L> RegionNodes<L> {
    /// Returns all nodes, sorted by address.
    pub(super) fn all(&self) -> &[Arc<Entry<L>>] {
        &self.all
    }

    /// Returns the linked nodes that serve `service`.
    pub(super) fn serving(&self, service: &str) -> Serving<'_, L> {
        let positions = self.serving.get(service).map_or(&[][..], Vec::as_slice);
        Serving { all: &self.all, positions }
    }
}

impl<L: Endpoint> RegionNodes<L> {
    /// Adds a node, or replaces its entry.
    pub(super) fn insert(&mut self, entry: Arc<Entry<L>>) {
        match self.all.binary_search_by(by_addr_of(&entry.info)) {
            Ok(at) => {
                self.unindex(at);
                self.all[at] = entry;
                self.index(at);
            }
            Err(at) => {
                let after = |position: &&mut u32| **position >= at as u32;
                self.positions().filter(after).for_each(|position| *position += 1);
                self.all.insert(at, entry);
                self.index(at);
            }
        }
    }

    /// Removes a node, if it is present.
    pub(super) fn remove(&mut self, info: &NodeInfo) {
        let Ok(at) = self.all.binary_search_by(by_addr_of(info)) else { return };
        self.unindex(at);
        self.all.remove(at);
        let after = |position: &&mut u32| **position > at as u32;
        self.positions().filter(after).for_each(|position| *position -= 1);
    }

    fn positions(&mut self) -> impl Iterator<Item = &mut u32> {
        self.serving.values_mut().flatten()
    }

    fn index(&mut self, at: usize) {
        let Some(link) = &self.all[at].link else { return };
        for service in link.services() {
            if !self.serving.contains_key(&service.name) {
                self.serving.insert(service.name.clone(), Vec::new());
            }
            let Some(positions) = self.serving.get_mut(&service.name) else { continue };
            if let Err(place) = positions.binary_search(&(at as u32)) {
                positions.insert(place, at as u32);
            }
        }
    }

    fn unindex(&mut self, at: usize) {
        let Some(link) = &self.all[at].link else { return };
        for service in link.services() {
            let Some(positions) = self.serving.get_mut(&service.name) else { continue };
            if let Ok(place) = positions.binary_search(&(at as u32)) {
                positions.remove(place);
            }
            if positions.is_empty() {
                self.serving.remove(&service.name);
            }
        }
    }
}

pub(super) fn by_addr_of<L>(info: &NodeInfo) -> impl Fn(&Arc<Entry<L>>) -> Ordering {
    |entry| (entry.info.addr(), entry.info.id()).cmp(&(info.addr(), info.id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{proto::routing::testing::Path, types::NodeId};

    fn entry(port: u16, services: Option<&[&str]>) -> Arc<Entry<Path>> {
        let id = NodeId::new(format!("n{port}"), port.into());
        let info = NodeInfo::new(id, "iad".into(), ([10, 0, 0, 1], port).into());
        let link = services.map(|services| Path::good().serving(services));
        Arc::new(Entry::linked(info, link))
    }

    fn serving(nodes: &RegionNodes<Path>, service: &str) -> Vec<u16> {
        let serving = nodes.serving(service);
        (0..serving.len()).map(|at| serving.get(at).info.addr().port()).collect()
    }

    #[test]
    fn the_index_lists_the_linked_nodes_that_serve_a_service() {
        let mut nodes = RegionNodes::default();
        for (port, services) in
            [(5, Some(&["A"][..])), (3, None), (9, Some(&["A", "B"])), (1, Some(&["B"]))]
        {
            nodes.insert(entry(port, services));
        }
        assert_eq!((serving(&nodes, "A"), serving(&nodes, "B")), (vec![5, 9], vec![1, 9]));
        // One is replaced, one is linked, one is removed, and one loses its link.
        nodes.insert(entry(9, Some(&["A"])));
        nodes.insert(entry(3, Some(&["A"])));
        nodes.remove(&entry(1, None).info);
        nodes.insert(entry(5, None));
        assert_eq!((serving(&nodes, "A"), serving(&nodes, "B")), (vec![3, 9], vec![]));
        assert_eq!(nodes.all().len(), 3);
        assert!(nodes.serving.len() == 1, "{nodes:?}");
    }
}
