//! What the nodes of a cluster reported at one time. This is what the pages render, and what `status.json` contains.
//!
//! Nothing here waits, locks or reads a clock.

mod build;
mod problems;
pub(crate) mod services;

use std::collections::BTreeMap;

use flyrpc::{NodeId, NodeInfo, Region, ServiceSpec};
use serde::Serialize;

pub(crate) use self::{
    build::{Asked, Collection, ITSELF, NoAnswer},
    problems::{keys, versions},
};

/// The state of the cluster.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Snapshot {
    /// The time of the collection, in seconds since 1970.
    pub(crate) unix_time: f64,
    /// How long the collection took, in seconds.
    pub(crate) seconds: f64,
    /// The name of the cluster.
    pub(crate) cluster: String,
    /// The node that asked the others.
    pub(crate) reporter: NodeId,
    /// The primary region in the configuration of that node.
    pub(crate) primary_region: Region,
    /// What an operator should know, the most severe first.
    pub(crate) problems: Vec<Problem>,
    /// The nodes in order of their regions and ids.
    pub(crate) nodes: Vec<NodeEntry>,
    /// The addresses of seeds where no node responds.
    pub(crate) addresses: Vec<AddressEntry>,
    /// The time to which `methods` refers, in seconds: a minute at most. Zero after the first collection.
    pub(crate) window: f64,
    /// The calls of the window, by method and region.
    pub(crate) methods: Vec<MethodEntry>,
}

/// One node.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NodeEntry {
    /// Its id, region and address.
    #[serde(flatten)]
    pub(crate) node: NodeInfo,
    pub(crate) health: Health,
    /// Its state as the reporter sees it: `this node`, a state of
    /// [`PeerReport`](flyrpc::operations::PeerReport::state), or `unknown` if only other nodes know it.
    pub(crate) state: String,
    pub(crate) answer: Answer,
    /// Why it did not answer or cannot be called. Empty otherwise.
    pub(crate) reason: String,
    /// The time that it took to answer, in seconds.
    pub(crate) answer_seconds: Option<f64>,
    /// The versions of its application and of flyrpc.
    pub(crate) version: String,
    pub(crate) flyrpc: String,
    /// Whether the reporter can call it.
    pub(crate) supported: Option<bool>,
    pub(crate) accepting: bool,
    pub(crate) draining: bool,
    pub(crate) ready: bool,
    pub(crate) primary_region: Option<Region>,
    pub(crate) keys: Vec<String>,
    /// How the link of the reporter is protected.
    pub(crate) security: String,
    /// The shortest of the last round trips of the reporter, in seconds.
    pub(crate) round_trip: Option<f64>,
    /// How far its clock is ahead of the reporter's, in seconds.
    pub(crate) clock_ahead: Option<f64>,
    pub(crate) uptime: Option<f64>,
    pub(crate) in_flight: u64,
    pub(crate) ejected: bool,
    pub(crate) gossip_missing: bool,
    pub(crate) withdrawn: Vec<String>,
    pub(crate) services: Vec<ServiceSpec>,
    /// Its links to the other nodes, by their ids. Empty if it did not answer.
    pub(crate) links: BTreeMap<NodeId, LinkEntry>,
}

/// A link as one of its nodes sees it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LinkEntry {
    pub(crate) state: String,
    /// In seconds.
    pub(crate) round_trip: Option<f64>,
    pub(crate) supported: Option<bool>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    pub(crate) ejected: bool,
    pub(crate) gossip_missing: bool,
}

/// An address where no node responds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AddressEntry {
    pub(crate) addr: String,
    pub(crate) state: String,
    pub(crate) reason: String,
}

/// The calls of a method in a region, in the last minute.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MethodEntry {
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) region: Region,
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) calls_per_second: f64,
    /// Quantiles of the time that the handlers took, in seconds.
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) in_flight: u64,
    pub(crate) by_status: BTreeMap<String, u64>,
}

/// What an operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    pub(crate) severity: Severity,
    /// The node, region or service.
    pub(crate) subject: String,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// Calls fail.
    Error,
    /// Calls may fail soon, or run elsewhere.
    Warning,
    /// Normal during a deploy or a rotation of keys.
    Notice,
}

/// Whether a node answered the question of the reporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Answered,
    Failed,
    /// Its version of flyrpc reports nothing.
    Unsupported,
    /// It cannot be reached, or the cluster is too large to ask all nodes.
    NotAsked,
}

/// The color of a node, in order of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Health {
    Good,
    /// It left the cluster.
    Left,
    /// It can be called in part, or not by all.
    Warning,
    /// It cannot be called.
    Error,
}

impl NodeEntry {
    /// Whether it is a member of the cluster that may be running.
    pub(crate) fn is_live(&self) -> bool {
        self.answer == Answer::Answered
            || matches!(&*self.state, "this node" | "linked" | "quiet" | "unlinked" | "unknown")
    }
}

impl Snapshot {
    /// The nodes that may be running.
    pub(crate) fn live(&self) -> impl Iterator<Item = &NodeEntry> {
        self.nodes.iter().filter(|entry| entry.is_live())
    }
}
