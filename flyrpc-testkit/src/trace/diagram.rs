//! A trace as a Mermaid sequence diagram.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    iter::Peekable,
    sync::Arc,
    vec,
};

use super::{
    call::{CallEnd, RequestFate, TracedCall},
    event::{Occurrence, TracedEvent},
    execution::TracedExecution,
    node_boot::NodeBoot,
    participants::{Participants, escape},
    time::{Stamp, millis},
};

/// A [Mermaid] sequence diagram of a trace. Displays as its text. Created by [`Trace::diagram`](crate::Trace::diagram).
///
/// Nodes are grouped by region. `#12` is call 12 of its caller, and `#12.2` is the second attempt of that call.
///
/// | line | meaning |
/// |---|---|
/// | solid arrow | a request, when its caller starts the attempt |
/// | dashed arrow with a cross, `lost` | a request that has not arrived |
/// | dashed arrow | a reply, or an error that the serving node reported, when the caller receives it |
/// | bar | an execution, from the request to the reply; without a reply, until the handler ends |
/// | note over a caller | an attempt that its caller ended, such as a timeout or a cancellation, or that had no node |
/// | note over a serving node, `runs` | an execution that started after its caller had given up, or whose call is not in the diagram |
///
/// Calls that a handler makes start within its bar. Faults and notes from the test are notes. Membership events are
/// omitted unless [`with_membership`](Diagram::with_membership) is called. Links are always omitted, because each pair
/// of nodes has one. The table of the trace lists both.
///
/// [Mermaid]: https://mermaid.js.org/syntax/sequenceDiagram.html
#[derive(Debug, Clone, Copy)]
#[must_use = "the text of the diagram is its `to_string()`"]
pub struct Diagram<'a> {
    pub(super) seed: u64,
    pub(super) nodes: &'a [Arc<NodeBoot>],
    pub(super) calls: &'a [TracedCall],
    pub(super) executions: &'a [TracedExecution],
    pub(super) events: &'a [TracedEvent],
    pub(super) membership: bool,
}

impl Diagram<'_> {
    /// Includes membership events, as notes over the nodes that observed them.
    pub fn with_membership(mut self) -> Self {
        self.membership = true;
        self
    }

    /// Returns the elements of the diagram in the order of the run.
    fn steps(&self) -> vec::IntoIter<Step<'_>> {
        let mut steps: Vec<(Stamp, Step<'_>)> = Vec::new();
        for call in self.calls {
            steps.push((call.started, Step::Start(call)));
            steps.extend(call.end.as_ref().map(|end| (end.stamp, Step::End(call, end))));
        }
        for execution in self.executions {
            steps.push((execution.started, Step::Run(execution)));
            let end = execution.end.as_ref();
            steps.extend(end.map(|end| (end.stamp, Step::RunEnd(execution))));
        }
        let events = self.events.iter().filter(|event| self.shows(event));
        steps.extend(events.map(|event| (event.stamp, Step::Event(event))));
        steps.sort_by_key(|(stamp, _)| *stamp);
        steps.into_iter().map(|(_, step)| step).collect::<Vec<_>>().into_iter()
    }

    fn shows(&self, event: &TracedEvent) -> bool {
        match event.occurrence {
            Occurrence::LinkOpened(_) | Occurrence::LinkClosed(..) => false,
            Occurrence::Membership(_) => self.membership,
            Occurrence::Fault(_) | Occurrence::Note(_) => true,
        }
    }
}

impl fmt::Display for Diagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let participants = Participants::of(self.nodes, self.calls, self.executions);
        writeln!(f, "sequenceDiagram\n    %% seed {}", self.seed)?;
        let is_membership =
            |event: &&TracedEvent| matches!(event.occurrence, Occurrence::Membership(_));
        let omitted = self.events.iter().filter(is_membership).count();
        if omitted > 0 && !self.membership {
            writeln!(f, "    %% without {omitted} membership events")?;
        }
        let mut drawing = Drawing::new(self, participants);
        let mut steps = self.steps().peekable();
        while let Some(step) = steps.next() {
            drawing.draw(step, &mut steps);
        }
        drawing.end_bars();
        drawing.lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Start(&'a TracedCall),
    End(&'a TracedCall, &'a CallEnd),
    Run(&'a TracedExecution),
    RunEnd(&'a TracedExecution),
    Event(&'a TracedEvent),
}

impl Step<'_> {
    fn belongs_to(&self, earlier: &TracedEvent) -> bool {
        let Step::Event(event) = self else { return false };
        event.node.is_some() && event.node == earlier.node && event.at() == earlier.at()
    }
}

struct Drawing<'a> {
    participants: Participants<'a>,
    /// The executions in the diagram, by their start.
    executions: BTreeMap<Stamp, &'a TracedExecution>,
    /// The attempts in the diagram, by the start of their executions.
    calls: BTreeMap<Stamp, &'a TracedCall>,
    /// The starts of the executions whose bars have begun and not ended.
    bars: BTreeSet<Stamp>,
    lines: Vec<String>,
}

impl<'a> Drawing<'a> {
    fn new(diagram: &Diagram<'a>, participants: Participants<'a>) -> Self {
        let execution = |call: &TracedCall| match call.delivery.request {
            RequestFate::Executed(start) => Some(start),
            RequestFate::Unknown | RequestFate::Lost | RequestFate::Arrived => None,
        };
        let executions = diagram.executions.iter().map(|execution| (execution.started, execution));
        let calls = diagram.calls.iter().filter_map(|call| Some((execution(call)?, call)));
        let mut lines = Vec::new();
        participants.declare(&mut lines);
        Drawing {
            participants,
            executions: executions.collect(),
            calls: calls.collect(),
            bars: BTreeSet::new(),
            lines,
        }
    }

    fn draw(&mut self, step: Step<'a>, later: &mut Peekable<vec::IntoIter<Step<'a>>>) {
        match step {
            Step::Start(call) => self.start(call),
            Step::End(call, end) => self.end(call, end),
            Step::Run(execution) => self.run(execution),
            Step::RunEnd(execution) => self.run_end(execution),
            Step::Event(event) => {
                let mut text = format!("{}\n{}", millis(event.at()), describe(event));
                // Events of a node at the same time share a note, since the start of a cluster causes many events.
                while let Some(next) = later.next_if(|next| next.belongs_to(event)) {
                    let Step::Event(next) = next else { continue };
                    let _ = write!(text, "\n{}", describe(next));
                }
                self.note(event.node(), &text);
            }
        }
    }

    fn start(&mut self, call: &'a TracedCall) {
        let Some(node) = call.node() else {
            // Drawn when it ends, which is usually immediately.
            if call.end.is_none() {
                self.note(Some(call.caller()), &request_text(call));
            }
            return;
        };
        let mut text = request_text(call);
        let arrow = match call.delivery.request {
            RequestFate::Lost => {
                text.push_str(", lost");
                "--x"
            }
            RequestFate::Executed(start) if self.is_in_time(call, start) => {
                self.bars.insert(start);
                "->>+"
            }
            RequestFate::Executed(_) | RequestFate::Arrived | RequestFate::Unknown => "->>",
        };
        self.message(call.caller(), arrow, node, &text);
    }

    /// Whether the execution that started at `start` is in the diagram, and started before its attempt ended.
    fn is_in_time(&self, call: &TracedCall, start: Stamp) -> bool {
        let has_ended = call.end.as_ref().is_some_and(|end| end.stamp < start);
        self.executions.contains_key(&start) && !has_ended
    }

    fn end(&mut self, call: &'a TracedCall, end: &CallEnd) {
        let label = end.outcome.label();
        let Some(node) = call.node() else {
            let text = format!("{}\n{label}", request_text(call));
            return self.note(Some(call.caller()), &text);
        };
        let took = call.took().unwrap_or_default();
        let text = format!("{} {label}, {}", number(call), millis(took));
        if !call.delivery.is_answered {
            return self.note(Some(call.caller()), &text);
        }
        let ends_bar = match call.delivery.request {
            RequestFate::Executed(start) => self.bars.remove(&start),
            RequestFate::Unknown | RequestFate::Lost | RequestFate::Arrived => false,
        };
        self.message(node, if ends_bar { "-->>-" } else { "-->>" }, call.caller(), &text);
    }

    /// Draws the start of an execution that has no bar.
    fn run(&mut self, execution: &'a TracedExecution) {
        if self.bars.contains(&execution.started) {
            return;
        }
        let call = self.calls.get(&execution.started).map(|call| format!(" {}", number(call)));
        let text = format!(
            "runs{} {}.{} of {} at {}",
            call.unwrap_or_default(),
            execution.service(),
            execution.method(),
            execution.caller(),
            millis(execution.start())
        );
        self.note(Some(execution.node()), &text);
    }

    /// Ends the bar of an execution, unless the reply ends it.
    fn run_end(&mut self, execution: &'a TracedExecution) {
        let start = execution.started;
        let is_answered = self.calls.get(&start).is_some_and(|call| call.delivery.is_answered);
        if !is_answered && self.bars.remove(&start) {
            self.end_bar(execution);
        }
    }

    /// Ends the bars of the executions that were running when the trace was taken.
    fn end_bars(&mut self) {
        for start in std::mem::take(&mut self.bars) {
            self.end_bar(self.executions[&start]);
        }
    }

    fn end_bar(&mut self, execution: &TracedExecution) {
        let id = self.participants.id(execution.node());
        self.lines.push(format!("deactivate {id}"));
    }

    fn message(&mut self, from: &str, arrow: &str, to: &str, text: &str) {
        let (from, to) = (self.participants.id(from), self.participants.id(to));
        self.lines.push(format!("{from}{arrow}{to}: {}", escape(text)));
    }

    /// Draws a note over a node, or over all nodes.
    fn note(&mut self, node: Option<&str>, text: &str) {
        if let Some(place) = self.participants.place(node) {
            self.lines.push(format!("Note over {place}: {}", escape(text)));
        }
    }
}

/// Returns the number of the call, and that of the attempt unless it is the first.
fn number(call: &TracedCall) -> String {
    match call.attempt() {
        1 => format!("#{}", call.call()),
        attempt => format!("#{}.{attempt}", call.call()),
    }
}

fn request_text(call: &TracedCall) -> String {
    let mut text = format!("{} {}.{}", number(call), call.service(), call.method());
    if call.node().is_none() {
        let _ = write!(text, " to {}", call.target());
    }
    if let Some(bytes) = call.request_bytes() {
        let _ = write!(text, " ({bytes} B)");
    }
    let _ = write!(text, " at {}", millis(call.start()));
    text
}

/// Returns a short description of an event, without addresses and boots.
fn describe(event: &TracedEvent) -> String {
    match &event.occurrence {
        Occurrence::Membership(event) => event.to_string(),
        occurrence => occurrence.to_string(),
    }
}
