//! How the context of a trace travels between nodes.

use tracing::Span;

use crate::types::TraceContext;

/// Connects the spans of two nodes, for [`Spans::with_propagation`](super::Spans::with_propagation).
///
/// It knows the tracing system of the application, of which flyrpc knows nothing. Both functions are called for each call
/// whose span is enabled, and must not block.
pub trait Propagate: Send + Sync + 'static {
    /// Returns what to send with the call that has this span, or `None` if it belongs to no trace.
    fn inject(&self, span: &Span) -> Option<TraceContext>;

    /// Makes `span`, that of a handler, a child of the caller's span, which has this context.
    fn extract(&self, context: &TraceContext, span: &Span);
}
