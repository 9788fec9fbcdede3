//! A trace as a Mermaid sequence diagram.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use flyrpc::Region;

use super::{
    call::{CallEnd, CallOutcome, TracedCall},
    event::{Occurrence, TracedEvent},
    node_boot::NodeBoot,
    time::{Stamp, millis},
};

pub(super) fn draw(
    seed: u64,
    nodes: &[Arc<NodeBoot>],
    calls: &[TracedCall],
    events: &[TracedEvent],
) -> String {
    let participants = Participants::of(nodes, calls);
    let mut lines = vec!["sequenceDiagram".to_owned(), format!("    %% seed {seed}")];
    participants.declare(&mut lines);
    let mut steps = steps(calls, events).into_iter().peekable();
    while let Some(step) = steps.next() {
        let line = match step {
            Step::Start(call) => Some(participants.start(call)),
            Step::End(call, end) => participants.end(call, end),
            Step::Event(event) => {
                let mut text = describe(event);
                // Events of a node at the same time share a note, since the start of a cluster causes
                // many events.
                while let Some(next) = steps.next_if(|next| next.belongs_to(event)) {
                    let Step::Event(next) = next else { continue };
                    let _ = write!(text, "\n{}", describe(next));
                }
                participants.note(event, &text)
            }
        };
        lines.extend(line);
    }
    lines.push(String::new());
    lines.join("\n")
}

/// An element of the diagram, in the order of the run.
enum Step<'a> {
    Start(&'a TracedCall),
    End(&'a TracedCall, &'a CallEnd),
    Event(&'a TracedEvent),
}

impl Step<'_> {
    fn belongs_to(&self, earlier: &TracedEvent) -> bool {
        let Step::Event(event) = self else { return false };
        event.node.is_some() && event.node == earlier.node && event.at() == earlier.at()
    }
}

fn steps<'a>(calls: &'a [TracedCall], events: &'a [TracedEvent]) -> Vec<Step<'a>> {
    let mut steps: Vec<(Stamp, Step<'a>)> = Vec::new();
    for call in calls {
        steps.push((call.started, Step::Start(call)));
        steps.extend(call.end.as_ref().map(|end| (end.stamp, Step::End(call, end))));
    }
    let drawn = |event: &&TracedEvent| {
        !matches!(event.occurrence, Occurrence::LinkOpened(_) | Occurrence::LinkClosed(..))
    };
    let events = events.iter().filter(drawn);
    steps.extend(events.map(|event| (event.stamp, Step::Event(event))));
    steps.sort_by_key(|(stamp, _)| *stamp);
    steps.into_iter().map(|(_, step)| step).collect()
}

/// The nodes of the diagram, and their ids in it.
struct Participants<'a> {
    /// The names of nodes by region. Regions and nodes are in the order of their first appearance.
    regions: Vec<(&'a Region, Vec<&'a str>)>,
    ids: BTreeMap<&'a str, String>,
}

impl<'a> Participants<'a> {
    fn of(nodes: &'a [Arc<NodeBoot>], calls: &'a [TracedCall]) -> Self {
        let mut participants = Participants { regions: Vec::new(), ids: BTreeMap::new() };
        let mut taken = BTreeSet::new();
        for NodeBoot { name, region, .. } in nodes.iter().map(|boot| &**boot) {
            participants.add(name, region, &mut taken);
        }
        for node in calls.iter().filter_map(|call| call.request.node.as_ref()) {
            participants.add(node.name(), node.region(), &mut taken);
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

    fn declare(&self, lines: &mut Vec<String>) {
        for (region, names) in &self.regions {
            // Without a color, Mermaid would read a region named `tan` as a color.
            lines.push(format!("    box transparent {}", escape(region.as_str())));
            for name in names {
                lines.push(format!("        participant {} as {}", self.id(name), escape(name)));
            }
            lines.push("    end".to_owned());
        }
    }

    fn id(&self, name: &str) -> &str {
        // All callers and callees were added by `of`, so the default is never used.
        self.ids.get(name).map_or("unknown_", String::as_str)
    }

    /// Returns the ids of the caller and the callee, or the caller's id twice if the call had no node.
    fn ends(&self, call: &TracedCall) -> (&str, &str) {
        (self.id(call.caller()), self.id(call.node().unwrap_or(call.caller())))
    }

    fn start(&self, call: &TracedCall) -> String {
        let (from, to) = self.ends(call);
        let mut text = format!("{}.{}", call.service(), call.method());
        if call.attempt() > 1 {
            let _ = write!(text, " #{}", call.attempt());
        }
        if call.node().is_none() {
            let _ = write!(text, " to {}", call.target());
        }
        if let Some(bytes) = call.request_bytes() {
            let _ = write!(text, " ({bytes} B)");
        }
        let _ = write!(text, " at {}", millis(call.start()));
        format!("    {from}->>{to}: {}", escape(&text))
    }

    fn end(&self, call: &TracedCall, end: &CallEnd) -> Option<String> {
        let (caller, node) = self.ends(call);
        let (from, arrow, to) = match end.outcome {
            CallOutcome::Replied => (node, "-->>", caller),
            CallOutcome::Failed(_) => (node, "--x", caller),
            CallOutcome::Cancelled => (caller, "--x", node),
        };
        let text = format!("{}, {}", end.outcome.label(), millis(call.took()?));
        Some(format!("    {from}{arrow}{to}: {}", escape(&text)))
    }

    /// Returns a note over the node that observed the event, or over all nodes.
    fn note(&self, event: &TracedEvent, text: &str) -> Option<String> {
        let names = || self.regions.iter().flat_map(|(_, names)| names);
        let over = match event.node() {
            Some(name) => self.id(name).to_owned(),
            None => match (self.id(names().next()?), self.id(names().next_back()?)) {
                (first, last) if first == last => first.to_owned(),
                (first, last) => format!("{first},{last}"),
            },
        };
        let text = escape(&format!("{}\n{text}", millis(event.at())));
        Some(format!("    Note over {over}: {text}"))
    }
}

/// Returns a short description of an event, without addresses and boots.
fn describe(event: &TracedEvent) -> String {
    match &event.occurrence {
        Occurrence::Membership(event) => event.to_string(),
        occurrence => occurrence.to_string(),
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
fn escape(text: &str) -> String {
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
