//! [`Tracer`]: the spans of calls, made by the tracing system of the application.

use std::sync::Arc;

use crate::types::{NodeInfo, TraceContext};

/// Makes the spans of calls with a tracing system of the application, without the crate `tracing`. For
/// [`Spans::with_tracer`](crate::Spans::with_tracer). The crate `flyrpc-otel` has an implementation for OpenTelemetry.
///
/// The functions of a tracer and of its spans are called for each call and each handler, and must not block. Their panics
/// are caught and logged, and affect the span only.
pub trait Tracer: Send + Sync + 'static {
    /// Starts the span of a call of `method`, such as `Strings/upcase`. Its parent is the span that is current in this
    /// thread: this is called when the future of the call is first polled.
    fn start_call(&self, method: &'static str) -> StartedCall;

    /// Starts the span of a handler, which is about to run. The handler's tasks may use it after its end.
    fn start_handler(&self, start: &HandlerStart<'_>) -> Arc<dyn ServerSpan>;
}

/// The span of a call that has started.
#[allow(missing_debug_implementations, reason = "a span has no readable form")]
pub struct StartedCall {
    /// Sent with the call, so that the span of the handler becomes its child, and is recorded only if this one is. `None`
    /// if the call belongs to no trace.
    pub context: Option<TraceContext>,
    /// Records what happens to the call. `None` if the trace is not sampled.
    pub span: Option<Box<dyn ClientSpan>>,
}

/// A handler that is about to run.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct HandlerStart<'a> {
    /// The names of service and method on the wire, such as `Strings/upcase`.
    pub method: &'static str,
    /// This node, which runs the handler.
    pub node: &'a NodeInfo,
    /// The node that makes the call: this node itself for a call that runs in process.
    pub caller: &'a NodeInfo,
    /// The span of the call, which is the parent. `None` if the call belongs to no trace.
    pub parent: Option<&'a TraceContext>,
}

/// The span of a call, until the call ends.
pub trait ClientSpan: Send + Sync {
    /// Attempt `attempt`, from 1, starts on `node`. From the second one on, there is a reason for it: the kind of the error
    /// of the attempt before, or `NOT_FAILED`.
    fn on_attempt(&mut self, attempt: u32, node: &NodeInfo, reason: Option<&'static str>);

    /// The call has ended. `node` was contacted last, or is `None` if no node was contacted.
    fn end(self: Box<Self>, end: SpanEnd, node: Option<&NodeInfo>);
}

/// The span of a handler, until the handler ends.
pub trait ServerSpan: Send + Sync {
    /// Runs one poll of the handler, or of a task with its [`Context`](crate::Context), inside the span. Must call `poll`
    /// once. A panic of the handler does not pass through it.
    fn enter(&self, poll: &mut dyn FnMut());

    /// The handler has ended. Tasks with its context may still enter the span.
    fn end(&self, end: SpanEnd);
}

/// How a call or a handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanEnd {
    /// `OK`, `ERR` if the handler returned an `Err`, the text of an [`ErrorKind`](crate::ErrorKind), or `CANCELLED`.
    pub status: &'static str,
    /// Whether the call or the handler failed. `OK`, `ERR` and, for a handler, `CANCELLED` are not failures.
    pub is_failure: bool,
}
