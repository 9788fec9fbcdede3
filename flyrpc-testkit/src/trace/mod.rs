//! The trace of a simulated run: calls, membership and link events, and faults, in virtual time.
//!
//! It only observes: nothing here influences a run.

mod call;
mod event;
mod log;
mod mermaid;
mod table;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsStr,
    fmt, fs, io,
    ops::{Bound, RangeBounds},
    path::Path,
    sync::Arc,
    time::Duration,
};

use flyrpc::Region;

pub(crate) use self::log::TraceLog;
pub use self::{
    call::{CallOutcome, Calls, TracedCall},
    event::{Events, Occurrence, TracedEvent},
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
    seed: u64,
    nodes: Vec<Arc<NodeBoot>>,
    calls: Vec<TracedCall>,
    events: Vec<TracedEvent>,
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
        mermaid::draw(self)
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
        table::print(self, f)
    }
}

/// One boot of a recorded node.
#[derive(Debug, PartialEq, Eq)]
struct NodeBoot {
    name: String,
    region: Region,
    /// Counts the boots of nodes of this name, from 1.
    boot: u32,
}

impl fmt::Display for NodeBoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.region)
    }
}

/// The time of an event. The sequence number orders events of the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    seq: u64,
    at: Duration,
}

/// A time in milliseconds, with as many decimals as needed: virtual time usually needs none.
fn millis(time: Duration) -> String {
    let (whole, nanos) = (time.as_millis(), time.subsec_nanos() % 1_000_000);
    if nanos == 0 {
        return format!("{whole} ms");
    }
    let decimals = format!("{nanos:06}");
    format!("{whole}.{} ms", decimals.trim_end_matches('0'))
}

fn bounds(range: &impl RangeBounds<Duration>) -> (Bound<Duration>, Bound<Duration>) {
    (range.start_bound().cloned(), range.end_bound().cloned())
}
