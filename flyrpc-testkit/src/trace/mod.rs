//! The trace of a simulated run: calls, executions, membership and link events, and faults, in virtual time.
//!
//! Recording a trace does not influence a run.

mod arrivals;
mod call;
mod delivery;
mod diagram;
mod event;
mod execution;
mod log;
mod node_boot;
mod participants;
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
    diagram::Diagram,
    event::{Events, Occurrence, TracedEvent},
    execution::{ExecutionOutcome, Executions, TracedExecution},
    run_trace::Trace,
};
