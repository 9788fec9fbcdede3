//! Whether a node has a link to another one, and whether its primary region has a node.

use flyrpc::{
    NodeInfo,
    operations::{NodeReport, PeerReport},
};

use super::{
    observe::{Answer, Answered, Observed, is_doubtful, is_first_dial},
    stages::{FIRST_DIAL, Stage},
};
use crate::session::is_linked;

/// The links of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Links {
    /// A link to another node is open.
    Open,
    /// None is open, and an address is being dialed for the first time.
    Pending,
    /// None is open, but the node knows other addresses, or its primary region is another one.
    Missing,
    /// None is open, as in a cluster of one node.
    OneNode,
}

impl Links {
    fn of(report: &NodeReport) -> Self {
        if report.peers.iter().any(is_linked) {
            Links::Open
        } else if report.peers.iter().any(is_first_dial) {
            Links::Pending
        } else if report.peers.iter().any(is_doubtful) || !is_in_primary(&report.node, report) {
            Links::Missing
        } else {
            Links::OneNode
        }
    }
}

fn is_in_primary(node: &NodeInfo, report: &NodeReport) -> bool {
    *node.region() == report.primary_region
}

/// Returns the stage of a node that should have a link and has none. `None` if the node has one or needs none, or if the view of
/// another node says more.
pub(super) fn alone(observed: &Observed, node: &Answered) -> Option<Stage> {
    if observed.other().is_some() {
        return None;
    }
    let report = &node.report;
    match Links::of(report) {
        Links::Open | Links::OneNode => None,
        Links::Pending => Some(Stage::unknown("listed", format!("no link yet; {FIRST_DIAL}"))),
        Links::Missing => {
            let name = report.node.name();
            let mut remedy = format!(
                "set FLYRPC_SEEDS of {name} to the addresses of other nodes, which must be reachable"
            );
            if !is_in_primary(&report.node, report) {
                let region = report.node.region();
                remedy += &format!(
                    "; if it is a cluster of one node on purpose, set PRIMARY_REGION to its own region, {region}"
                );
            }
            let detail = match unreached(report) {
                0 => "it has no link to another node, and knows none".to_owned(),
                1 => "it has no link to another node; 1 address that it knows is not linked"
                    .to_owned(),
                some => format!(
                    "it has no link to another node; {some} addresses that it knows are not linked"
                ),
            };
            Some(Stage::failed("listed", "alone", detail, remedy))
        }
    }
}

fn unreached(report: &NodeReport) -> usize {
    report.peers.iter().filter(|peer| is_doubtful(peer)).count()
}

/// Returns a note about a node without links that can be a cluster of one node.
pub(super) fn note(observed: &Observed) -> Option<String> {
    let Answer::Node(node) = &observed.answer else { return None };
    let is_alone = observed.other().is_none() && Links::of(&node.report) == Links::OneNode;
    is_alone.then(|| {
        let name = node.report.node.name();
        format!(
            "{name} has no link to another node; unless it is a cluster of one node on purpose, set FLYRPC_SEEDS to the \
             addresses of other nodes"
        )
    })
}

/// Returns the stage of a primary region in which no node is known. `None` if one is known there.
pub(super) fn without_primary(observed: &Observed, node: &Answered) -> Option<Stage> {
    let report = &node.report;
    let primary = &report.primary_region;
    // The node that was asked decides, and the target counts.
    let view = observed.other().map_or(report, |asked| &asked.report);
    let peers = view.peers.iter().filter(|peer| peer.state != "left");
    let nodes = peers.filter_map(|peer: &PeerReport| peer.node.as_ref());
    let mut regions: Vec<String> = Vec::new();
    for known in nodes.chain([&view.node, &report.node]) {
        if known.region() == primary {
            return None;
        }
        regions.push(known.region().to_string());
    }
    regions.sort_unstable();
    regions.dedup();
    let by = view.node.name();
    let detail = format!("{primary}, in which {by} knows no node");
    if Links::of(view) != Links::Open || view.peers.iter().any(is_first_dial) {
        // The missing link is the cause, or it is too early.
        return Some(Stage::unknown("primary", detail));
    }
    let remedy = format!(
        "start a node in {primary} (FLY_REGION or MY_REGION), or set PRIMARY_REGION to a region that has nodes, on all of them: {}",
        regions.join(", ")
    );
    Some(Stage::failed("primary", "no primary node", detail, remedy))
}
