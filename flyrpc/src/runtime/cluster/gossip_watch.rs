//! Detects linked nodes from which no gossip arrives, because UDP is blocked or misrouted.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    runtime::shared::GossipAge,
    types::{NodeId, NodeInfo},
};

/// How long gossip may be absent in a small cluster.
const MIN_SILENCE: Duration = Duration::from_secs(30);

/// The additional time per node for which gossip may be absent. A node probes all other nodes in turn,
/// one every 2 s, and each round is in random order. It therefore probes a given node at least once in 4
/// s times the number of nodes, and is probed as often.
const SILENCE_PER_NODE: Duration = Duration::from_secs(6);

/// The linked nodes, with the time at which gossip last arrived from each.
#[derive(Debug, Default)]
pub(super) struct GossipWatch(BTreeMap<NodeId, Watched>);

#[derive(Debug)]
struct Watched {
    node: NodeInfo,
    /// The time at which gossip last arrived, or at which the link was opened if none has arrived.
    last: Duration,
    is_reported: bool,
}

impl GossipWatch {
    /// Starts to watch a node to which a link was opened.
    pub(super) fn on_linked(&mut self, now: Duration, node: &NodeInfo) {
        let new = || Watched { node: node.clone(), last: now, is_reported: false };
        self.0.entry(node.id().clone()).or_insert_with(new);
    }

    /// Forgets a node that has no open link.
    pub(super) fn on_unlinked(&mut self, id: &NodeId) {
        self.0.remove(id);
    }

    /// Records that gossip arrived from a node.
    pub(super) fn on_gossip(&mut self, now: Duration, id: &NodeId) {
        if let Some(watched) = self.0.get_mut(id) {
            watched.last = now;
        }
    }

    /// Returns the time since gossip last arrived from each linked node.
    pub(super) fn ages(&self, now: Duration) -> BTreeMap<NodeId, GossipAge> {
        let age = |watched: &Watched| GossipAge {
            age: now.saturating_sub(watched.last),
            is_missing: watched.last + self.silence() <= now,
        };
        self.0.iter().map(|(id, watched)| (id.clone(), age(watched))).collect()
    }

    /// Returns how long gossip may be absent.
    fn silence(&self) -> Duration {
        MIN_SILENCE.max(SILENCE_PER_NODE * self.0.len() as u32)
    }

    /// Returns the nodes from which gossip has been absent for too long. Each node is returned once per
    /// link.
    pub(super) fn take_silent(&mut self, now: Duration) -> Vec<NodeInfo> {
        let silence = self.silence();
        let mut silent = Vec::new();
        for watched in self.0.values_mut() {
            if !watched.is_reported && watched.last + silence <= now {
                watched.is_reported = true;
                silent.push(watched.node.clone());
            }
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Region;

    fn node(boot: u64) -> NodeInfo {
        NodeInfo::new(NodeId::new("n", boot), Region::LOCAL, ([10, 0, 0, 1], 1).into())
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_linked_node_without_gossip_is_reported_once_until_it_is_linked_again() {
        let mut watch = GossipWatch::default();
        watch.on_linked(secs(0), &node(1));
        watch.on_linked(secs(0), &node(2));
        watch.on_gossip(secs(20), node(2).id());
        // A second link changes nothing.
        watch.on_linked(secs(20), &node(1));
        assert_eq!(watch.take_silent(secs(29)), []);
        assert_eq!(watch.take_silent(secs(30)), [node(1)]);
        assert_eq!(watch.take_silent(secs(49)), []);
        watch.on_unlinked(node(2).id());
        assert_eq!(watch.take_silent(secs(60)), []);
        watch.on_unlinked(node(1).id());
        watch.on_linked(secs(60), &node(1));
        assert_eq!(watch.take_silent(secs(90)), [node(1)]);
    }

    #[test]
    fn the_more_nodes_are_linked_the_longer_gossip_may_be_absent() {
        let mut watch = GossipWatch::default();
        (0..10).for_each(|boot| watch.on_linked(secs(0), &node(boot)));
        assert_eq!(watch.take_silent(secs(59)), []);
        assert_eq!(watch.take_silent(secs(60)).len(), 10);
    }
}
