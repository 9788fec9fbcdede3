//! Spans of calls.

mod call_span;
mod catch;
mod config;
mod propagate;
mod serve_span;
mod tracer;

pub(crate) use self::{
    call_span::{CallSpan, LocalParent},
    serve_span::{ServeSpan, enter},
};
pub use self::{
    config::Spans,
    propagate::Propagate,
    tracer::{ClientSpan, HandlerStart, ServerSpan, SpanEnd, StartedCall, Tracer},
};
