//! The methods that each node serves, compared across the nodes.

use std::{cmp::Reverse, collections::BTreeMap};

use flyrpc::MethodSpec;

use super::{NodeEntry, Snapshot};

/// Upper bound on the methods that are compared, because each has a cell for each node.
const MAX_ROWS: usize = 4_096;

/// The methods of all nodes.
#[derive(Debug)]
pub(crate) struct Compared<'a> {
    /// In order of their names.
    pub(crate) rows: Vec<MethodRow<'a>>,
    /// The number of methods that are not compared because there are too many: those that the fewest nodes serve.
    pub(crate) left_out: usize,
}

/// A method of any node.
#[derive(Debug)]
pub(crate) struct MethodRow<'a> {
    pub(crate) service: &'a str,
    /// As most nodes describe it.
    pub(crate) spec: &'a MethodSpec,
    /// One for each live node, in their order.
    pub(crate) cells: Vec<Cell>,
}

/// How a node serves a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    /// As most nodes do.
    Serves,
    /// It has stopped serving the service.
    Withdrawn,
    /// Its arguments or its return type differ from those of most nodes.
    Differs(String),
    /// It serves the service without this method.
    Lacks,
    /// It does not serve the service.
    Absent,
    /// It has not answered, so its services are unknown.
    Unknown,
}

/// Compares the methods of all live nodes.
pub(crate) fn compare(snapshot: &Snapshot) -> Compared<'_> {
    let mut methods: BTreeMap<(&str, &str), Vec<&MethodSpec>> = BTreeMap::new();
    for entry in snapshot.live() {
        for service in &entry.services {
            for method in &service.methods {
                methods.entry((&service.name, &method.name)).or_default().push(method);
            }
        }
    }
    let mut methods: Vec<_> = methods.into_iter().collect();
    let left_out = methods.len().saturating_sub(MAX_ROWS);
    if left_out > 0 {
        methods.sort_by_key(|(_, specs)| Reverse(specs.len()));
        methods.truncate(MAX_ROWS);
        methods.sort_by_key(|(name, _)| *name);
    }
    let rows = methods.into_iter().map(|((service, method), specs)| {
        let spec = most_common(&specs);
        let cells = snapshot.live().map(|entry| cell(entry, service, method, spec)).collect();
        MethodRow { service, spec, cells }
    });
    Compared { rows: rows.collect(), left_out }
}

/// The description that most nodes have. The first one if several are as common.
fn most_common<'a>(specs: &[&'a MethodSpec]) -> &'a MethodSpec {
    let mut kinds: Vec<(&'a MethodSpec, usize)> = Vec::new();
    for spec in specs {
        match kinds.iter_mut().find(|(kind, _)| is_same(kind, spec)) {
            Some((_, count)) => *count += 1,
            None => kinds.push((spec, 1)),
        }
    }
    kinds.iter().rev().max_by_key(|(_, count)| *count).map_or(specs[0], |(spec, _)| spec)
}

fn is_same(a: &MethodSpec, b: &MethodSpec) -> bool {
    a.arguments == b.arguments && a.returns == b.returns
}

fn cell(entry: &NodeEntry, service: &str, method: &str, usual: &MethodSpec) -> Cell {
    let is_unknown = entry.services.is_empty() && entry.flyrpc.is_empty();
    let Some(found) = entry.services.iter().find(|it| it.name == service) else {
        return if is_unknown { Cell::Unknown } else { Cell::Absent };
    };
    let Some(found) = found.methods.iter().find(|it| it.name == method) else {
        return Cell::Lacks;
    };
    if entry.withdrawn.iter().any(|withdrawn| withdrawn == service) {
        Cell::Withdrawn
    } else if is_same(found, usual) {
        Cell::Serves
    } else {
        Cell::Differs(difference(found, usual))
    }
}

/// Describes how a method differs from the usual one.
fn difference(found: &MethodSpec, usual: &MethodSpec) -> String {
    let lacks = |a: &MethodSpec, b: &MethodSpec, verb: &str| -> Vec<String> {
        let missing = b
            .arguments
            .iter()
            .filter(|argument| !a.arguments.iter().any(|other| other.name == argument.name));
        missing.map(|argument| format!("{verb} `{}: {}`", argument.name, argument.ty)).collect()
    };
    let mut texts = lacks(found, usual, "lacks the argument");
    texts.extend(lacks(usual, found, "has the argument"));
    if texts.is_empty() {
        texts.push(format!("is `{found}`"));
    }
    texts.join(", ")
}
