//! Finds what an operator should know: who cannot be called and why, and what the nodes disagree on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use flyrpc::NodeId;

use super::{
    AddressEntry, Answer, NodeEntry, Problem, Severity, Snapshot,
    services::{Cell, compare},
};

/// A larger difference between clocks is a problem, in seconds.
const MAX_CLOCK_DIFFERENCE: f64 = 1.0;

/// A larger share of failed calls of a method in a region is a problem, if there are this many.
const MAX_FAILED: f64 = 0.05;
const MIN_FAILED: u64 = 5;

/// The number of names in a text. The others are counted.
const MAX_NAMES: usize = 5;

/// Upper bound on the number of problems, so that a page of a broken cluster stays readable.
const MAX_PROBLEMS: usize = 200;

/// Lists the problems, the most severe first.
pub(super) fn problems(snapshot: &Snapshot) -> Vec<Problem> {
    let mut found = Found::default();
    for entry in &snapshot.nodes {
        found.of_node(entry);
    }
    for address in &snapshot.addresses {
        found.of_address(address);
    }
    found.of_links(snapshot);
    found.of_primary(snapshot);
    found.of_keys(snapshot);
    found.of_versions(snapshot);
    found.of_services(snapshot);
    found.of_membership(snapshot);
    found.of_methods(snapshot);
    let mut problems = found.0;
    problems.sort_by_key(|problem| problem.severity);
    problems.truncate(MAX_PROBLEMS);
    problems
}

#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, severity: Severity, subject: impl Display, text: impl Into<String>) {
        self.0.push(Problem { severity, subject: subject.to_string(), text: text.into() });
    }

    fn of_address(&mut self, address: &AddressEntry) {
        let AddressEntry { addr, state, reason } = address;
        if !reason.is_empty() {
            self.add(Severity::Error, addr, format!("{state}: {reason}"));
        } else if matches!(&**state, "unlinked" | "unreached") {
            self.add(Severity::Notice, addr, "is being dialed for the first time");
        } else {
            self.add(Severity::Error, addr, format!("{state}: no node responds"));
        }
    }

    fn of_node(&mut self, entry: &NodeEntry) {
        let id = entry.node.id();
        match &*entry.state {
            // An operator has stopped it, or a deploy has.
            "left" if entry.answer != Answer::Answered => return,
            "lost" | "unreached" | "unknown" => {
                let why = if entry.reason.is_empty() { "its link was lost" } else { &entry.reason };
                return self.add(Severity::Error, id, format!("{}: {why}", entry.state));
            }
            _ if entry.answer == Answer::Failed => {
                return self.add(Severity::Error, id, &entry.reason);
            }
            "quiet" => self.add(Severity::Warning, id, "nothing received for 2 heartbeats"),
            _ => {}
        }
        if entry.draining {
            self.add(Severity::Warning, id, "is draining: it accepts no new calls");
        } else if !entry.accepting {
            self.add(Severity::Warning, id, "is held: it accepts no calls of other nodes");
        }
        if !entry.ready {
            self.add(Severity::Warning, id, "is not ready: its search for nodes is not complete");
        }
        for service in &entry.withdrawn {
            self.add(Severity::Warning, id, format!("has stopped serving {service}"));
        }
        if let Some(ahead) = entry.clock_ahead
            && ahead.abs() > MAX_CLOCK_DIFFERENCE + entry.answer_seconds.unwrap_or(0.0) / 2.0
        {
            let side = if ahead > 0.0 { "ahead of" } else { "behind" };
            let text = format!("its clock is {:.1} s {side} that of this node", ahead.abs());
            self.add(Severity::Warning, id, text);
        }
    }

    fn of_links(&mut self, snapshot: &Snapshot) {
        let mut reports: BTreeMap<(Severity, &NodeId, String), Vec<&str>> = BTreeMap::new();
        let gone = snapshot.nodes.iter().filter(|entry| !entry.is_live());
        let gone: BTreeSet<&NodeId> = gone.map(|entry| entry.node.id()).collect();
        for entry in &snapshot.nodes {
            let from = entry.node.name();
            for (to, link) in entry.links.iter().filter(|(to, _)| !gone.contains(to)) {
                let mut add = |severity, text: String| {
                    reports.entry((severity, to, text)).or_default().push(from);
                };
                if link.supported == Some(false) {
                    add(Severity::Error, format!("cannot be called: {}", link.reason));
                } else if matches!(&*link.state, "lost" | "unreached") {
                    add(Severity::Error, "cannot be reached".to_owned());
                }
                if link.ejected {
                    let text = "is ejected, because most calls to it failed".to_owned();
                    add(Severity::Warning, text);
                }
                if link.gossip_missing {
                    let text = "sends no gossip: UDP is probably blocked".to_owned();
                    add(Severity::Warning, text);
                }
            }
        }
        for ((severity, to, text), from) in reports {
            let text = format!("{text} (reported by {})", names(from.into_iter()));
            self.add(severity, to, text);
        }
    }

    fn of_primary(&mut self, snapshot: &Snapshot) {
        let mut regions = BTreeMap::<_, Vec<_>>::new();
        for entry in snapshot.live() {
            if let Some(region) = &entry.primary_region {
                regions.entry(region).or_default().push(entry.node.name());
            }
        }
        if regions.len() > 1 {
            let views = regions.iter().map(|(region, nodes)| {
                format!("{} according to {}", named(region), names(nodes.iter().copied()))
            });
            let text = views.collect::<Vec<_>>().join("; ");
            self.add(Severity::Error, "Primary region", format!("nodes disagree: {text}"));
        }
        for region in regions.keys() {
            let is_there = |entry: &NodeEntry| entry.node.region() == *region && entry.accepting;
            if !snapshot.live().any(is_there) {
                let text = format!("no node in {} accepts calls", named(region));
                self.add(Severity::Error, "Primary region", text);
            }
        }
    }

    fn of_keys(&mut self, snapshot: &Snapshot) {
        for (key, holders, without) in keys(snapshot) {
            if !without.is_empty() {
                let text = format!(
                    "held by {holders} of {} nodes; missing on {}",
                    holders + without.len(),
                    names(without.into_iter())
                );
                self.add(Severity::Notice, format!("Key {key}"), text);
            }
        }
    }

    fn of_versions(&mut self, snapshot: &Snapshot) {
        let versions = versions(snapshot);
        if versions.len() > 1 {
            let text = versions.iter().map(|(version, nodes)| {
                let version = if version.is_empty() { "no version" } else { version };
                format!("{version} on {nodes}")
            });
            let text = text.collect::<Vec<_>>().join(", ");
            self.add(Severity::Notice, "Deploy", format!("not complete: {text}"));
        }
    }

    fn of_services(&mut self, snapshot: &Snapshot) {
        let nodes: Vec<&NodeEntry> = snapshot.live().collect();
        let compared = compare(snapshot);
        if compared.left_out > 0 {
            let text =
                format!("{} methods are not compared: there are too many", compared.left_out);
            self.add(Severity::Notice, "Services", text);
        }
        for row in compared.rows {
            let subject = format!("{}.{}", row.service, row.spec.name);
            let mut texts = BTreeMap::<String, Vec<&str>>::new();
            for (entry, cell) in nodes.iter().zip(&row.cells) {
                let text = match cell {
                    Cell::Lacks => "is missing".to_owned(),
                    Cell::Differs(how) => how.clone(),
                    Cell::Serves | Cell::Withdrawn | Cell::Absent | Cell::Unknown => continue,
                };
                texts.entry(text).or_default().push(entry.node.name());
            }
            for (text, nodes) in texts {
                let text = format!("{text} on {}", names(nodes.into_iter()));
                self.add(Severity::Notice, &subject, text);
            }
        }
    }

    fn of_methods(&mut self, snapshot: &Snapshot) {
        for entry in &snapshot.methods {
            let failed = entry.errors as f64 / entry.calls.max(1) as f64;
            if entry.errors >= MIN_FAILED && failed > MAX_FAILED {
                let (service, method, region) = (&entry.service, &entry.method, &entry.region);
                let (errors, calls) = (entry.errors, entry.calls);
                let text = format!("in {region}, {errors} of the last {calls} calls failed");
                self.add(Severity::Warning, format!("{service}.{method}"), text);
            }
        }
    }

    /// Nodes that answered, but that others do not list.
    fn of_membership(&mut self, snapshot: &Snapshot) {
        let answered = || snapshot.nodes.iter().filter(|entry| entry.answer == Answer::Answered);
        for entry in answered() {
            let id = entry.node.id();
            let is_blind =
                |other: &&NodeEntry| other.node.id() != id && !other.links.contains_key(id);
            let without: Vec<&str> =
                answered().filter(is_blind).map(|other| other.node.name()).collect();
            if !without.is_empty() {
                let text = format!("is not listed by {}", names(without.into_iter()));
                self.add(Severity::Notice, id, text);
            }
        }
    }
}

/// The keys of all live nodes, with the number of nodes that hold it and the names of those that do not. Nodes whose keys
/// are unknown count as neither.
pub(crate) fn keys(snapshot: &Snapshot) -> Vec<(&str, usize, Vec<&str>)> {
    let known =
        || snapshot.live().filter(|it| !it.keys.is_empty() || it.answer == Answer::Answered);
    let keys: BTreeSet<&str> = known().flat_map(|it| it.keys.iter().map(|key| &**key)).collect();
    let count = |key| {
        let lacks = |it: &&NodeEntry| !it.keys.iter().any(|held| held == key);
        let without: Vec<&str> = known().filter(lacks).map(|it| it.node.name()).collect();
        (key, known().count() - without.len(), without)
    };
    keys.into_iter().map(count).collect()
}

/// The versions of the application, and the number of live nodes with each.
pub(crate) fn versions(snapshot: &Snapshot) -> BTreeMap<&str, usize> {
    let mut versions = BTreeMap::new();
    let known = |it: &&NodeEntry| !it.version.is_empty() || it.answer == Answer::Answered;
    for entry in snapshot.live().filter(known) {
        *versions.entry(&*entry.version).or_default() += 1;
    }
    versions
}

fn named(region: &flyrpc::Region) -> &str {
    if region.is_empty() { "(none)" } else { region.as_str() }
}

/// Lists the first names, and counts the others.
fn names<'a>(mut names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let mut text = names.by_ref().take(MAX_NAMES).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
