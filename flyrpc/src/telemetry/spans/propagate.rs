//! How the context of a trace travels between nodes.

use tracing::Span;

use crate::types::TraceContext;

/// Connects the spans of two nodes, for [`Spans::with_propagation`](crate::Spans::with_propagation).
///
/// An implementation depends on the tracing system of the application, on which flyrpc does not depend. Both functions are
/// called for each call whose span is enabled, and must not block. Their panics are caught and logged.
pub trait Propagate: Send + Sync + 'static {
    /// Returns the context to send with the call that has this span, or `None` if it belongs to no trace.
    fn inject(&self, span: &Span) -> Option<TraceContext>;

    /// Makes `span`, the span of a handler, a child of the caller's span, which has this context.
    fn extract(&self, context: &TraceContext, span: &Span);
}
