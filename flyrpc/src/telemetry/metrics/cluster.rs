//! The metrics of links and peers.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use metrics::{Gauge, gauge};

use super::{LINKS, NODES, cache::Cache};
use crate::types::{Event, NodeId, NodeInfo, Region};

/// The metrics of links and peers.
#[derive(Debug, Default)]
pub(super) struct ClusterMetrics {
    gauges: Cache<(&'static str, &'static str, Region), Gauge>,
    ejected: Mutex<HashSet<NodeId>>,
}

impl ClusterMetrics {
    pub(super) fn on_link_opened(&self, node: &NodeInfo) {
        self.add(1.0, LINKS, "open", node);
    }

    pub(super) fn on_link_closed(&self, node: &NodeInfo) {
        self.add(-1.0, LINKS, "open", node);
    }

    pub(super) fn on_event(&self, event: &Event) {
        match event {
            Event::Up(node) => self.add(1.0, NODES, "up", node),
            Event::Down(node) | Event::Left(node) => {
                self.add(-1.0, NODES, "up", node);
                self.set_ejected(node, false);
            }
            Event::Ejected(node) => self.set_ejected(node, true),
            Event::Restored(node) => self.set_ejected(node, false),
            _ => {}
        }
    }

    /// Counts a node as ejected or not. A node that goes down is not reported as restored.
    fn set_ejected(&self, node: &NodeInfo, ejected: bool) {
        let mut nodes = self.ejected.lock().unwrap_or_else(PoisonError::into_inner);
        if ejected && nodes.insert(node.id().clone()) {
            self.add(1.0, NODES, "ejected", node);
        } else if !ejected && nodes.remove(node.id()) {
            self.add(-1.0, NODES, "ejected", node);
        }
    }

    fn add(&self, by: f64, name: &'static str, state: &'static str, node: &NodeInfo) {
        let region = node.region();
        let key = (name, state, region.clone());
        let create =
            || (key.clone(), gauge!(name, "region" => region.to_string(), "state" => state));
        self.gauges.with(&key, create, |gauge| gauge.increment(by));
    }
}
