//! The participants of a sequence diagram, and the escaping of texts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use flyrpc::Region;

use super::{call::TracedCall, execution::TracedExecution, node_boot::NodeBoot};

/// The nodes of the diagram, and their ids in it.
pub(super) struct Participants<'a> {
    /// The names of nodes by region. Regions and nodes are in the order of their first appearance.
    regions: Vec<(&'a Region, Vec<&'a str>)>,
    ids: BTreeMap<&'a str, String>,
}

impl<'a> Participants<'a> {
    pub(super) fn of(
        nodes: &'a [Arc<NodeBoot>],
        calls: &'a [TracedCall],
        executions: &'a [TracedExecution],
    ) -> Self {
        let mut participants = Participants { regions: Vec::new(), ids: BTreeMap::new() };
        let mut taken = BTreeSet::new();
        for NodeBoot { name, region, .. } in nodes.iter().map(|boot| &**boot) {
            participants.add(name, region, &mut taken);
        }
        for node in calls.iter().filter_map(|call| call.request.node.as_ref()) {
            participants.add(node.name(), node.region(), &mut taken);
        }
        for TracedExecution { served, .. } in executions {
            participants.add(served.caller.name(), served.caller.region(), &mut taken);
        }
        participants
    }

    fn add(&mut self, name: &'a str, region: &'a Region, taken: &mut BTreeSet<String>) {
        if self.ids.contains_key(name) {
            return;
        }
        let plain = plain_id(name);
        let others = (2_u32..).map(|number| format!("{plain}_{number}"));
        let id = std::iter::once(plain.clone()).chain(others).find(|id| taken.insert(id.clone()));
        self.ids.insert(name, id.unwrap_or(plain));
        match self.regions.iter_mut().find(|(known, _)| *known == region) {
            Some((_, names)) => names.push(name),
            None => self.regions.push((region, vec![name])),
        }
    }

    pub(super) fn declare(&self, lines: &mut Vec<String>) {
        for (region, names) in &self.regions {
            // Without a color, Mermaid would read a region named `tan` as a color.
            lines.push(format!("box transparent {}", escape(region.as_str())));
            for name in names {
                lines.push(format!("    participant {} as {}", self.id(name), escape(name)));
            }
            lines.push("end".to_owned());
        }
    }

    pub(super) fn id(&self, name: &str) -> &str {
        // All nodes of calls and executions were added by `of`, so the default is never used.
        self.ids.get(name).map_or("unknown_", String::as_str)
    }

    /// Returns the position of a note over a node, or over all nodes. `None` if there are no nodes.
    pub(super) fn place(&self, node: Option<&str>) -> Option<String> {
        let names = || self.regions.iter().flat_map(|(_, names)| names);
        Some(match node {
            Some(name) => self.id(name).to_owned(),
            None => match (self.id(names().next()?), self.id(names().next_back()?)) {
                (first, last) if first == last => first.to_owned(),
                (first, last) => format!("{first},{last}"),
            },
        })
    }
}

/// Returns an id that resembles the name, such as `iad_0` for `iad-0`. The id has no dashes, since
/// Mermaid reads a dash in an id as the start of an arrow, and reads `par` in `par-0` as a keyword. The id
/// contains an underscore and ends in an underscore or a digit, so it is never a keyword such as `end`
/// or `par_over`.
fn plain_id(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut id: String = name.chars().map(letter).collect();
    if !id.contains('_') || id.ends_with(|c: char| c.is_ascii_alphabetic()) {
        id.push('_');
    }
    id
}

/// Escapes characters that Mermaid could read as syntax: `;` ends a statement, `#` starts an escape,
/// `%%{` starts a directive, `@{` starts properties, and `$$` starts a formula.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("<br/>"),
            c if c.is_control() => out.push(' '),
            ' ' | '.' | ',' | '-' | '_' | '/' | '(' | ')' | '\'' | '"' | '→' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c => {
                let _ = write!(out, "#{};", u32::from(c));
            }
        }
    }
    out
}
