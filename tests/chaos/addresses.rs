//! Checks of whole runs whose faults break no links: links stay open, and nodes that share an address are
//! reported.

use std::collections::{BTreeMap, BTreeSet};

use flyrpc::{Event, NodeId, NodeInfo};
use flyrpc_testkit::{Fault as SimFault, Occurrence, Trace};

use super::{
    faults::{ClaimedAddr, Fault},
    plan::Plan,
};

/// The shortest time, in milliseconds, in which nodes that share an address are noticed: a few round trips
/// to a seed, and from there to the other nodes.
const NOTICE_TIME: u64 = 5_000;

/// Upper bound on how often a node links to one boot of another if nothing breaks links. Nodes that dial
/// each other at the same time may open two links.
const MAX_LINKS: usize = 2;

/// Returns descriptions of what a run violated that only has faults which break no links.
pub(super) fn check(plan: &Plan, trace: &Trace) -> Vec<String> {
    if !plan.faults.iter().all(|fault| breaks_no_links(&fault.fault)) {
        return Vec::new();
    }
    let mut found = links_stay_open(plan, trace);
    found.extend(conflicts_are_reported(plan, trace));
    found
}

/// Whether links stay open while the fault lasts.
fn breaks_no_links(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Claim { .. } | Fault::Flood { .. } | Fault::Misbehave { .. } | Fault::Bottleneck(..)
    ) || filters_udp(fault)
}

/// Whether all datagrams between two scopes are lost, and nothing else.
fn filters_udp(fault: &Fault) -> bool {
    matches!(fault, Fault::Sim(SimFault::Lose { share, .. }) if *share >= 1.0)
}

fn links_stay_open(plan: &Plan, trace: &Trace) -> Vec<String> {
    let nodes = plan.nodes();
    let claimants = claims(plan).map(|claim| claim.claimant.to_owned());
    let linked: Vec<String> = nodes.iter().cloned().chain(claimants).collect();
    let mut found = Vec::new();
    let mut links: BTreeMap<(&str, &NodeId), usize> = BTreeMap::new();
    let mut ended = BTreeSet::new();
    for event in trace.events() {
        if let Occurrence::Note(note) = event.what() {
            // A node that shuts down closes its own links.
            ended.extend(note.strip_prefix("shut down "));
        }
        let Some((node, subject)) = event.node().zip(event.subject()) else { continue };
        let is_one_of = |names: &[String]| names.iter().any(|name| name == subject.name());
        match event.what() {
            Occurrence::LinkOpened(_) if is_one_of(&linked) => {
                *links.entry((node, subject.id())).or_default() += 1;
            }
            // A claimant is down for a node that cannot dial it and to which it has not linked yet.
            Occurrence::Membership(Event::Down(_))
                if is_one_of(&nodes) && !ended.contains(node) =>
            {
                found
                    .push(format!("{} is down for {node}, but nothing breaks links", subject.id()));
            }
            _ => {}
        }
    }
    let often = links.into_iter().filter(|(_, count)| *count > MAX_LINKS);
    found.extend(often.map(|((node, peer), count)| {
        format!("{node} and {peer} linked {count} times, but nothing breaks links")
    }));
    found
}

/// Each node that shares its address for long enough is named by a node that is linked to both.
fn conflicts_are_reported(plan: &Plan, trace: &Trace) -> Vec<String> {
    let claims: Vec<_> = claims(plan).collect();
    let mut found = Vec::new();
    for claim in &claims {
        let others = claims.iter().filter(|other| other.claimant != claim.claimant);
        let (mut holders, mut shared_for) = (Vec::new(), 0);
        for other in others {
            let (from, to) = (claim.from.max(other.from), claim.to.min(other.to));
            shared_for = shared_for.max(to.saturating_sub(from));
            holders.push(other.claimant);
        }
        if let ClaimedAddr::Node(node) = claim.addr {
            // Later claimants are reported with the node that had the address first.
            (holders, shared_for) = (vec![node.as_str()], claim.to - claim.from);
        }
        let names_it = |node: &NodeInfo, other: &NodeInfo| {
            node.name() == claim.claimant && holders.contains(&other.name())
        };
        let reported = trace.events().any(|event| match event.what() {
            Occurrence::Membership(Event::AddressConflict { holder, claimant, .. }) => {
                names_it(holder, claimant) || names_it(claimant, holder)
            }
            _ => false,
        });
        // A node that is linked to both is needed, so neither of the two counts.
        let has_witness = plan.nodes().iter().any(|node| !holders.contains(&node.as_str()));
        if shared_for >= NOTICE_TIME && has_witness && !reported {
            found.push(format!("no node reported the address of {}", claim.claimant));
        }
    }
    found
}

struct Claim<'a> {
    claimant: &'a str,
    addr: &'a ClaimedAddr,
    from: u64,
    to: u64,
}

fn claims(plan: &Plan) -> impl Iterator<Item = Claim<'_>> {
    plan.faults.iter().filter_map(|planned| match &planned.fault {
        Fault::Claim { claimant, addr, .. } => {
            Some(Claim { claimant, addr, from: planned.at, to: planned.at + planned.lasts })
        }
        _ => None,
    })
}
