//! All events of a run, to query, print, draw or write to a file.

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

/// The events of a simulated run until it was taken: every attempt of every call, every membership
/// and link event, and every fault, in order.
///
/// Equal seeds give equal traces. Times are on the simulation's clock, from its start, for nodes with
/// a skewed clock as well.
///
/// Printed, it is a table. It can be queried in assertions, drawn as a Mermaid diagram
/// ([`to_mermaid`](Trace::to_mermaid)), and written to a file ([`write_to`](Trace::write_to)).
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
    /// The seed of the run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The calls that nodes made: one item per attempt, in the order of their starts.
    pub fn calls(&self) -> Calls<'_> {
        Calls::new(&self.calls)
    }

    /// All events except calls: membership, links, faults and notes.
    pub fn events(&self) -> Events<'_> {
        Events::new(&self.events)
    }

    /// The part of the trace in `range`: the calls that started and the events that occurred then.
    /// Useful for a diagram of a part of a long run.
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

    /// The run as a [Mermaid] sequence diagram: nodes by region, calls as solid arrows when they
    /// start, replies as dashed ones when they end, failures as dashed ones with a cross, and
    /// notes for faults and for what nodes learned of others. Links are left out, since each pair
    /// of nodes has one; the table has them.
    ///
    /// [Mermaid]: https://mermaid.js.org/syntax/sequenceDiagram.html
    pub fn to_mermaid(&self) -> String {
        mermaid::draw(self.seed, &self.nodes, &self.calls, &self.events)
    }

    /// Writes the trace to a file, and creates the directories on the way to it: the diagram if
    /// its name ends in `.mmd`, otherwise the table.
    ///
    /// # Errors
    ///
    /// Those of the file system.
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
    /// A line with the seed, and one for each entry: its time, its kind, and the node that made the
    /// call or observed the event; then for calls the target node, the attempt, the bytes of request
    /// and reply, the duration, and the outcome.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table::print(self.seed, &self.calls, &self.events, f)
    }
}

fn bounds(range: &impl RangeBounds<Duration>) -> (Bound<Duration>, Bound<Duration>) {
    (range.start_bound().cloned(), range.end_bound().cloned())
}
