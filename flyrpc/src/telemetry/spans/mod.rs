//! Tracing spans of calls.

mod call_span;
mod config;
mod propagate;
mod serve_span;

pub(crate) use self::{call_span::CallSpan, serve_span::ServeSpan};
pub use self::{config::Spans, propagate::Propagate};
