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
    event::{Events, TracedEvent},
    mermaid,
    node_boot::NodeBoot,
    table,
};

/// The events of a simulated run up to the moment when the trace was taken: every attempt of every call,
/// every membership and link event, every fault and every note, in order.
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
///     let retries = trace.calls().method("upcase").attempt(2);
///     assert!(retries.clone().count() > 0 && retries.ok().to_region("hkg").count() == 0);
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub(super) seed: u64,
    pub(super) nodes: Vec<Arc<NodeBoot>>,
    pub(super) calls: Vec<TracedCall>,
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

    /// Returns all events except calls: membership, links, faults and notes.
    pub fn events(&self) -> Events<'_> {
        Events::new(&self.events)
    }

    /// Returns the part of the trace in `range`: the calls that started and the events that occurred in
    /// that time. Useful for a diagram of a part of a long run.
    #[must_use]
    pub fn between(&self, range: impl RangeBounds<Duration>) -> Trace {
        let range = bounds(&range);
        Trace {
            seed: self.seed,
            nodes: self.nodes.clone(),
            calls: self.calls().between(range).cloned().collect(),
            events: self.events().between(range).cloned().collect(),
        }
    }

    /// Returns the run as a [Mermaid] sequence diagram.
    ///
    /// Nodes are grouped by region. The start of a call is a solid arrow, a reply is a dashed arrow, and a
    /// failure is a dashed arrow with a cross. Faults, notes and membership events are notes. Links are
    /// omitted, since each pair of nodes has one. The table includes them.
    ///
    /// [Mermaid]: https://mermaid.js.org/syntax/sequenceDiagram.html
    pub fn to_mermaid(&self) -> String {
        mermaid::draw(self.seed, &self.nodes, &self.calls, &self.events)
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
    /// Writes a line with the seed, and a line for each call and event. A line contains the time, the
    /// kind, and the node that made the call or observed the event. For calls it also contains the target
    /// node, the attempt, the bytes of request and reply, the duration, and the outcome.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table::print(self.seed, &self.calls, &self.events, f)
    }
}

fn bounds(range: &impl RangeBounds<Duration>) -> (Bound<Duration>, Bound<Duration>) {
    (range.start_bound().cloned(), range.end_bound().cloned())
}
