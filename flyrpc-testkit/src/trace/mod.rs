//! The trace of a simulated run: calls, membership and link events, and faults, in virtual time.
//!
//! Recording a trace does not influence a run.

mod call;
mod event;
mod log;
mod mermaid;
mod node_boot;
mod run_trace;
mod table;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use self::log::TraceLog;
#[cfg(feature = "logs")]
pub(crate) use self::time::millis;
pub use self::{
    call::{CallOutcome, Calls, TracedCall},
    event::{Events, Occurrence, TracedEvent},
    run_trace::Trace,
};
