//! Reports of a node about its calls, links and peers.

mod caught;
#[cfg(feature = "metrics")]
mod metrics;
mod observer;
mod observers;
mod served;
mod spans;
mod status;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
pub(crate) use self::{
    caught::CaughtObserver,
    observers::Observers,
    spans::{CallSpan, LocalParent, ServeSpan, enter},
    status::CallStatus,
};
pub use self::{
    observer::{Attempt, Called, Observed, Observer, Outcome},
    served::{ServeOutcome, Served},
    spans::{ClientSpan, HandlerStart, Propagate, ServerSpan, SpanEnd, Spans, StartedCall, Tracer},
};
