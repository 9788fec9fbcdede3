//! The metrics of links and peers.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use metrics::gauge;

use super::{
    gauge_share::GaugeShare,
    names::{LINKS, MAX_SERIES, NODES, OTHER_REGION},
};
use crate::types::{Event, NodeId, NodeInfo, Region};

/// The metrics of links and peers.
#[derive(Debug, Default)]
pub(super) struct ClusterMetrics(Mutex<Cluster>);

#[derive(Debug, Default)]
struct Cluster {
    gauges: HashMap<(&'static str, &'static str, Region), GaugeShare>,
    /// The nodes that are up, and whether they are ejected.
    nodes: HashMap<NodeId, bool>,
}

impl ClusterMetrics {
    pub(super) fn on_link_opened(&self, node: &NodeInfo) {
        self.change(|cluster| cluster.add(1, LINKS, "open", node));
    }

    pub(super) fn on_link_closed(&self, node: &NodeInfo) {
        self.change(|cluster| cluster.add(-1, LINKS, "open", node));
    }

    pub(super) fn on_event(&self, event: &Event) {
        match event {
            Event::Up(node) => self.change(|cluster| cluster.on_up(node)),
            Event::Down(node) | Event::Left(node) => self.change(|cluster| cluster.on_down(node)),
            Event::Ejected(node) => self.change(|cluster| cluster.set_ejected(node, true)),
            Event::Restored(node) => self.change(|cluster| cluster.set_ejected(node, false)),
            _ => {}
        }
    }

    fn change(&self, change: impl FnOnce(&mut Cluster)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Cluster {
    fn on_up(&mut self, node: &NodeInfo) {
        if self.nodes.insert(node.id().clone(), false).is_none() {
            self.add(1, NODES, "up", node);
        }
    }

    fn on_down(&mut self, node: &NodeInfo) {
        // A node that goes down is not reported as restored.
        self.set_ejected(node, false);
        if self.nodes.remove(node.id()).is_some() {
            self.add(-1, NODES, "up", node);
        }
    }

    fn set_ejected(&mut self, node: &NodeInfo, to: bool) {
        // The last failures of a node can be reported after it went down.
        let Some(ejected) = self.nodes.get_mut(node.id()) else { return };
        if std::mem::replace(ejected, to) != to {
            self.add(if to { 1 } else { -1 }, NODES, "ejected", node);
        }
    }

    fn add(&mut self, by: i64, name: &'static str, state: &'static str, node: &NodeInfo) {
        let mut key = (name, state, node.region().clone());
        if self.gauges.len() >= MAX_SERIES && !self.gauges.contains_key(&key) {
            key.2 = OTHER_REGION.into();
        }
        let region = key.2.to_string();
        let create = || GaugeShare::new(gauge!(name, "region" => region, "state" => state));
        self.gauges.entry(key).or_insert_with(create).add(by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(region: &str) -> NodeInfo {
        NodeInfo::new(NodeId::new("n", 1), region.into(), ([10, 0, 0, 1], 1).into())
    }

    #[track_caller]
    fn check(metrics: &ClusterMetrics, name: &'static str, state: &'static str, expected: i64) {
        let cluster = metrics.0.lock().unwrap();
        let share = cluster.gauges.get(&(name, state, Region::from("iad")));
        assert_eq!(share.map_or(0, GaugeShare::value), expected, "{name} {state}");
    }

    #[test]
    fn an_ejected_node_is_counted_until_it_recovers_or_goes_down() {
        let (metrics, iad) = (ClusterMetrics::default(), node("iad"));
        metrics.on_event(&Event::Up(iad.clone()));
        metrics.on_event(&Event::Ejected(iad.clone()));
        check(&metrics, NODES, "ejected", 1);
        metrics.on_event(&Event::Restored(iad.clone()));
        check(&metrics, NODES, "ejected", 0);
        metrics.on_event(&Event::Ejected(iad.clone()));
        metrics.on_event(&Event::Down(iad.clone()));
        check(&metrics, NODES, "ejected", 0);
        check(&metrics, NODES, "up", 0);
        // Its last calls fail after it went down.
        metrics.on_event(&Event::Ejected(iad));
        check(&metrics, NODES, "ejected", 0);
    }

    #[test]
    fn regions_that_a_peer_invents_share_a_series() {
        let metrics = ClusterMetrics::default();
        (0..2 * MAX_SERIES).for_each(|turn| metrics.on_link_opened(&node(&format!("r{turn}"))));
        let cluster = metrics.0.lock().unwrap();
        assert_eq!(cluster.gauges.len(), MAX_SERIES + 1);
        let other = &cluster.gauges[&(LINKS, "open", Region::from(OTHER_REGION))];
        assert_eq!(other.value(), MAX_SERIES as i64);
    }
}
