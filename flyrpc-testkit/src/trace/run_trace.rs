//! All events of a run, which can be filtered, printed, drawn or written to a file.

use std::{
    ffi::OsStr,
    fmt, fs, io,
    ops::{Bound, RangeBounds},
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{
    call::{Calls, TracedCall},
    diagram::Diagram,
    event::{Events, TracedEvent},
    execution::{Executions, TracedExecution},
    node_boot::NodeBoot,
    table,
};

/// The events of a simulated run up to the moment when the trace was taken: every attempt of every call,
/// every execution of a handler, every membership and link event, every fault and every note, in order.
///
/// Equal seeds give equal traces. Times are counted from the start of the run, on the simulation's
/// clock, even for nodes with a skewed clock.
///
/// A trace displays as a table. It can be filtered in assertions, drawn as a Mermaid diagram with
/// [`to_mermaid`](Trace::to_mermaid), and written to a file with [`write_to`](Trace::write_to).
///
/// ```
/// use flyrpc_testkit::Trace;
///
/// fn only_the_first_attempt_went_to_hong_kong(trace: &Trace) {
///     assert_eq!(trace.calls().to_region("hkg").count(), 1, "{trace}");
///     assert_eq!(trace.executions().method("upcase").count(), 1, "it ran exactly once: {trace}");
///     let retries = trace.calls().method("upcase").attempt(2);
///     assert!(retries.clone().count() > 0 && retries.ok().to_region("hkg").count() == 0);
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub(super) seed: u64,
    pub(super) nodes: Vec<Arc<NodeBoot>>,
    pub(super) calls: Vec<TracedCall>,
    pub(super) executions: Vec<TracedExecution>,
    pub(super) events: Vec<TracedEvent>,
}

impl Trace {
    /// Returns the seed of the run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the calls that nodes made, one item per attempt, in the order in which they started.
    pub fn calls(&self) -> Calls<'_> {
        Calls::new(&self.calls)
    }

    /// Returns the executions of handlers on the nodes of the run, in the order in which they started.
    ///
    /// Calls are what their callers observed, and executions are what serving nodes did: a call that timed out may
    /// have an execution, and a call that was retried may have several.
    pub fn executions(&self) -> Executions<'_> {
        Executions::new(&self.executions)
    }

    /// Returns all events except calls and executions: membership, links, faults and notes.
    pub fn events(&self) -> Events<'_> {
        Events::new(&self.events)
    }

    /// Returns the part of the trace in `range`: the calls and executions that started and the events that occurred in
    /// that time. Useful for a diagram of a part of a long run.
    #[must_use]
    pub fn between(&self, range: impl RangeBounds<Duration>) -> Trace {
        let range = bounds(&range);
        Trace {
            seed: self.seed,
            nodes: self.nodes.clone(),
            calls: self.calls().between(range).cloned().collect(),
            executions: self.executions().between(range).cloned().collect(),
            events: self.events().between(range).cloned().collect(),
        }
    }

    /// Returns the run as a Mermaid sequence diagram: the text of [`diagram`](Trace::diagram) with default settings.
    pub fn to_mermaid(&self) -> String {
        self.diagram().to_string()
    }

    /// Returns a sequence diagram of the run, which displays as Mermaid text.
    ///
    /// ```
    /// # fn print(trace: &flyrpc_testkit::Trace) {
    /// println!("{}", trace.diagram().with_membership());
    /// # }
    /// ```
    pub fn diagram(&self) -> Diagram<'_> {
        let Trace { seed, nodes, calls, executions, events } = self;
        Diagram { seed: *seed, nodes, calls, executions, events, membership: false }
    }

    /// Writes the trace to a file: as a diagram if the file name ends in `.mmd`, otherwise as a table.
    /// Creates missing parent directories.
    ///
    /// # Errors
    ///
    /// Returns the error of the file system.
    pub fn write_to(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let diagram = path.extension() == Some(OsStr::new("mmd"));
        fs::write(path, if diagram { self.to_mermaid() } else { self.to_string() })
    }
}

impl fmt::Display for Trace {
    /// Writes a line with the seed, and a line for each attempt of a call, execution (`run`) and event. A line contains
    /// the time, the kind, and the node that made the call, ran the handler, or observed the event. Attempts are followed
    /// by the target node, executions by the caller, both with the number of the attempt, the duration and the outcome.
    /// Attempts also have the bytes of request and reply.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trace { seed, calls, executions, events, .. } = self;
        let entries = table::Entries { seed: *seed, calls, executions, events };
        table::print(&entries, f)
    }
}

fn bounds(range: &impl RangeBounds<Duration>) -> (Bound<Duration>, Bound<Duration>) {
    (range.start_bound().cloned(), range.end_bound().cloned())
}
