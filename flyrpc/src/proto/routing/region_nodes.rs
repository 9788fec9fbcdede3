//! The nodes of one region, with an index of the linked nodes that serve each service.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use super::{
    candidates::{Candidate, Candidates},
    endpoint::Endpoint,
    entry::Entry,
};
use crate::types::{NodeInfo, ServiceSpec};

/// The nodes of one region.
#[derive(Debug)]
pub(super) struct RegionNodes<L> {
    /// Sorted by address.
    all: Vec<Arc<Entry<L>>>,
    /// For each service, the links to the nodes that serve it.
    serving: BTreeMap<String, Candidates<Candidate<L>>>,
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

impl<L> RegionNodes<L> {
    /// Returns all nodes, sorted by address.
    pub(super) fn all(&self) -> &[Arc<Entry<L>>] {
        &self.all
    }

    /// Returns the links to the nodes that serve `service`, if there are any.
    pub(super) fn serving(&self, service: &str) -> Option<&Candidates<Candidate<L>>> {
        self.serving.get(service)
    }
}

impl<L: Endpoint> RegionNodes<L> {
    /// Adds a node, or replaces its entry.
    pub(super) fn insert(&mut self, entry: Arc<Entry<L>>) {
        match self.all.binary_search_by(by_addr_of(&entry.info)) {
            Ok(at) => {
                let replaced = std::mem::replace(&mut self.all[at], Arc::clone(&entry));
                let is_same = |link: &L| entry.link().is_some_and(|other| other.is_same(link));
                if !replaced.link().is_some_and(is_same) {
                    self.unindex(&replaced);
                    self.index(&entry);
                }
            }
            Err(at) => {
                self.index(&entry);
                self.all.insert(at, entry);
            }
        }
    }

    /// Removes a node, if it is present.
    pub(super) fn remove(&mut self, info: &NodeInfo) {
        let Ok(at) = self.all.binary_search_by(by_addr_of(info)) else { return };
        let removed = self.all.remove(at);
        self.unindex(&removed);
    }

    fn index(&mut self, entry: &Entry<L>) {
        let Some(link) = entry.link() else { return };
        let services = link.services();
        for (at, ServiceSpec { name, .. }) in services.iter().enumerate() {
            if services[..at].iter().any(|earlier| earlier.name == *name) {
                continue;
            }
            if !self.serving.contains_key(name) {
                self.serving.insert(name.clone(), Candidates::new());
            }
            if let Some(serving) = self.serving.get_mut(name) {
                serving.push(Candidate { link: link.clone(), load: Arc::clone(link.load()) });
            }
        }
    }

    fn unindex(&mut self, entry: &Entry<L>) {
        let Some(link) = entry.link() else { return };
        for ServiceSpec { name, .. } in link.services() {
            let Some(serving) = self.serving.get_mut(name) else { continue };
            let at = serving.iter().position(|other| other.link.is_same(link));
            if let Some(at) = at {
                serving.swap_remove(at);
            }
            if serving.len() == 0 {
                self.serving.remove(name);
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
        let info = NodeInfo::new(id.clone(), "iad".into(), ([10, 0, 0, 1], port).into());
        let link = services.map(|services| Path::good().to(id.clone()).serving(services));
        Arc::new(Entry::linked(info, link))
    }

    fn serving(nodes: &RegionNodes<Path>, service: &str) -> Vec<u64> {
        let serving = nodes.serving(service).into_iter().flat_map(Candidates::iter);
        let mut boots: Vec<u64> = serving.map(|candidate| candidate.link.node.boot()).collect();
        boots.sort_unstable();
        boots
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

    #[test]
    fn a_replaced_entry_is_listed_while_it_has_a_link_that_can_be_called() {
        let mut nodes = RegionNodes::default();
        let linked = Entry::clone(&entry(5, Some(&["A"])));
        nodes.insert(Arc::new(linked.clone()));
        nodes.insert(Arc::new(Entry { unreachable: true, ..linked.clone() }));
        assert_eq!(serving(&nodes, "A"), [5]);
        nodes.insert(Arc::new(Entry { other_protocol: true, ..linked.clone() }));
        assert_eq!(serving(&nodes, "A"), [0; 0]);
        nodes.insert(Arc::new(linked));
        assert_eq!(serving(&nodes, "A"), [5]);
    }
}
