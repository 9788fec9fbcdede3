//! Builds a [`Snapshot`] from the reports of nodes.

use std::collections::{BTreeMap, BTreeSet};

use flyrpc::{
    NodeId, NodeInfo, ServiceSpec,
    operations::{NodeReport, PeerReport},
};

use super::{
    AddressEntry, Answer, Health, LinkEntry, MethodEntry, NodeEntry, Snapshot, problems::problems,
};

/// Upper bounds on what a report can add. A cluster of flyrpc has a few thousand nodes at most.
const MAX_NODES: usize = 5_000;
const MAX_LOST: usize = 100;
const MAX_KEYS: usize = 8;
const MAX_SERVICES: usize = 64;
const MAX_METHODS: usize = 256;
const MAX_ARGUMENTS: usize = 32;

/// The reason of a seed that leads to the node that dials it begins with this.
pub(crate) const ITSELF: &str = "this node itself";

/// The answers of all nodes that were asked.
#[derive(Debug)]
pub(crate) struct Collection {
    /// In seconds since 1970.
    pub(crate) unix_time: f64,
    pub(crate) seconds: f64,
    /// The report of the node that asked.
    pub(crate) reporter: NodeReport,
    /// The other nodes that were asked.
    pub(crate) asked: BTreeMap<NodeId, Asked>,
    /// Nodes that the reporter knew in the last minute, and whether they could be called at the end.
    pub(crate) recent: Vec<(NodeInfo, Health)>,
    pub(crate) window: f64,
    pub(crate) methods: Vec<MethodEntry>,
}

/// The answer of a node.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) report: Result<NodeReport, NoAnswer>,
    /// The time when it was asked, in seconds since 1970, by the clock of the reporter.
    pub(crate) unix_time: f64,
    /// The time that it took to answer, in seconds.
    pub(crate) seconds: f64,
}

/// Why a node did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// It may have failed. Contains the message of the error.
    Failed(String),
    /// It is of a version of flyrpc that reports nothing, but may be called.
    Unsupported(String),
}

impl Collection {
    /// Builds the snapshot.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let reporter = &self.reporter;
        let mut nodes = BTreeMap::new();
        let mut addresses = Vec::new();
        let (me, shown) = (entry(&reporter.node, "this node"), self.with_links());
        nodes.insert(reporter.node.id().clone(), with_report(me, reporter, &shown));
        for peer in reporter.peers.iter().take(MAX_NODES) {
            match &peer.node {
                Some(node) => {
                    nodes.insert(node.id().clone(), of_peer(node, peer));
                }
                // Normal behind a load balancer.
                None if peer.reason.starts_with(ITSELF) => {}
                None => addresses.push(AddressEntry {
                    addr: peer.addr.to_string(),
                    state: peer.state.clone(),
                    reason: peer.reason.clone(),
                }),
            }
        }
        for (id, asked) in &self.asked {
            if let Some(entry) = nodes.remove(id) {
                nodes.insert(id.clone(), asked.apply(entry, &shown));
            }
        }
        self.add_unknown(&mut nodes);
        for (node, last) in &self.recent {
            nodes.entry(node.id().clone()).or_insert_with(|| recent(node, *last));
        }
        let mut nodes: Vec<NodeEntry> = nodes
            .into_values()
            .map(|mut entry| {
                entry.health = health(&entry);
                entry
            })
            .collect();
        nodes.sort_by(|a, b| {
            let key = |entry: &NodeEntry| (entry.node.region().clone(), entry.node.id().clone());
            key(a).cmp(&key(b))
        });
        let mut snapshot = Snapshot {
            unix_time: self.unix_time,
            seconds: self.seconds,
            cluster: reporter.cluster.clone(),
            reporter: reporter.node.id().clone(),
            primary_region: reporter.primary_region.clone(),
            problems: Vec::new(),
            nodes,
            addresses,
            window: self.window,
            methods: self.methods.clone(),
        };
        snapshot.problems = problems(&snapshot);
        snapshot
    }

    /// Chooses the nodes to which links are shown, because a large cluster has too many: those that were asked or are lost.
    fn with_links(&self) -> BTreeSet<&NodeId> {
        let is_lost = |peer: &&PeerReport| matches!(&*peer.state, "lost" | "unreached");
        let lost = self.reporter.peers.iter().filter(is_lost).filter_map(|it| it.node.as_ref());
        let mut shown: BTreeSet<&NodeId> = lost.take(MAX_LOST).map(NodeInfo::id).collect();
        shown.extend(self.asked.keys());
        shown.insert(self.reporter.node.id());
        shown
    }

    /// Adds nodes that only other nodes know.
    fn add_unknown(&self, nodes: &mut BTreeMap<NodeId, NodeEntry>) {
        let reports = self.asked.values().filter_map(|asked| asked.report.as_ref().ok());
        for report in reports {
            let is_reachable = |peer: &&PeerReport| matches!(&*peer.state, "linked" | "quiet");
            let peers = report.peers.iter().take(MAX_NODES).filter(is_reachable);
            for node in peers.filter_map(|peer| peer.node.as_ref()) {
                if nodes.len() < MAX_NODES && !nodes.contains_key(node.id()) {
                    let mut entry = entry(node, "unknown");
                    let name = report.node.id();
                    entry.reason = format!("known to {name}, but not to the node of this page");
                    nodes.insert(node.id().clone(), entry);
                }
            }
        }
    }
}

impl Asked {
    fn apply(&self, mut entry: NodeEntry, shown: &BTreeSet<&NodeId>) -> NodeEntry {
        match &self.report {
            Ok(report) => {
                entry.answer_seconds = Some(self.seconds);
                // The report was made halfway, if both ways take the same time.
                let here = self.unix_time + self.seconds / 2.0;
                entry.clock_ahead = Some(report.unix_time - here);
                with_report(entry, report, shown)
            }
            Err(NoAnswer::Failed(error)) => {
                entry.answer = Answer::Failed;
                entry.reason = format!("did not answer: {error}");
                entry
            }
            Err(NoAnswer::Unsupported(error)) => {
                entry.answer = Answer::Unsupported;
                entry.reason = format!("reports nothing: {error}");
                entry
            }
        }
    }
}

/// A node about which nothing else is known.
fn entry(node: &NodeInfo, state: &str) -> NodeEntry {
    NodeEntry {
        node: node.clone(),
        health: Health::Good,
        state: state.to_owned(),
        answer: Answer::NotAsked,
        reason: String::new(),
        answer_seconds: None,
        version: String::new(),
        flyrpc: String::new(),
        supported: None,
        accepting: true,
        draining: false,
        ready: true,
        primary_region: None,
        keys: Vec::new(),
        security: String::new(),
        round_trip: None,
        clock_ahead: None,
        uptime: None,
        in_flight: 0,
        ejected: false,
        gossip_missing: false,
        withdrawn: Vec::new(),
        services: Vec::new(),
        links: BTreeMap::new(),
    }
}

/// A node that the reporter no longer lists.
fn recent(node: &NodeInfo, last: Health) -> NodeEntry {
    let (state, reason) = match last {
        Health::Error => ("lost", "it failed, and the node of this page no longer lists it"),
        Health::Good | Health::Left | Health::Warning => ("left", "it left in the last minute"),
    };
    NodeEntry { reason: reason.to_owned(), ..entry(node, state) }
}

/// A node as the reporter sees it.
fn of_peer(node: &NodeInfo, peer: &PeerReport) -> NodeEntry {
    NodeEntry {
        reason: peer.reason.clone(),
        version: peer.version.clone(),
        supported: peer.supported,
        // Without a link, it is unknown.
        accepting: peer.accepting || !matches!(&*peer.state, "linked" | "quiet"),
        primary_region: peer.primary_region.clone(),
        keys: first(&peer.keys, MAX_KEYS),
        security: peer.security.clone(),
        round_trip: peer.round_trip,
        in_flight: peer.reported_in_flight.into(),
        ejected: peer.ejected,
        gossip_missing: peer.gossip_missing,
        withdrawn: first(&peer.withdrawn, MAX_SERVICES),
        services: bounded(&peer.services),
        ..entry(node, &peer.state)
    }
}

/// Adds what a node reports about itself.
fn with_report(entry: NodeEntry, report: &NodeReport, shown: &BTreeSet<&NodeId>) -> NodeEntry {
    NodeEntry {
        answer: Answer::Answered,
        version: report.version.clone(),
        flyrpc: report.flyrpc.clone(),
        accepting: report.accepting,
        draining: report.draining,
        ready: report.ready,
        primary_region: Some(report.primary_region.clone()),
        keys: first(&report.keys, MAX_KEYS),
        uptime: Some(report.uptime),
        in_flight: report.in_flight,
        withdrawn: first(&report.withdrawn, MAX_SERVICES),
        services: bounded(&report.services),
        links: links(report, shown),
        ..entry
    }
}

/// The links to the nodes that are shown, and those that do not work.
fn links(report: &NodeReport, shown: &BTreeSet<&NodeId>) -> BTreeMap<NodeId, LinkEntry> {
    let link = |peer: &PeerReport| {
        let id = peer.node.as_ref()?.id();
        let fails = peer.supported == Some(false) || peer.ejected;
        let link = || LinkEntry {
            state: peer.state.clone(),
            round_trip: peer.round_trip,
            supported: peer.supported,
            reason: peer.reason.clone(),
            ejected: peer.ejected,
            gossip_missing: peer.gossip_missing,
        };
        (fails || shown.contains(id)).then(|| (id.clone(), link()))
    };
    report.peers.iter().take(MAX_NODES).filter_map(link).collect()
}

fn first(texts: &[String], at_most: usize) -> Vec<String> {
    texts.iter().take(at_most).cloned().collect()
}

fn bounded(services: &[ServiceSpec]) -> Vec<ServiceSpec> {
    let mut services: Vec<_> = services.iter().take(MAX_SERVICES).cloned().collect();
    for service in &mut services {
        service.methods.truncate(MAX_METHODS);
        for method in &mut service.methods {
            method.arguments.truncate(MAX_ARGUMENTS);
        }
    }
    services
}

fn health(entry: &NodeEntry) -> Health {
    if entry.state == "left" && entry.answer != Answer::Answered {
        return Health::Left;
    }
    let is_lost = matches!(&*entry.state, "lost" | "unreached" | "unknown");
    if entry.answer == Answer::Failed || is_lost || entry.supported == Some(false) {
        return Health::Error;
    }
    let is_limited = !entry.accepting || !entry.ready || !entry.withdrawn.is_empty();
    if is_limited || entry.ejected || entry.gossip_missing || entry.state == "quiet" {
        return Health::Warning;
    }
    Health::Good
}
