//! [`Spans`]: which spans a node makes, and how traces continue on other nodes.

use std::{fmt, sync::Arc};

use tracing::Span;

use super::{
    call_span::CallSpan,
    catch::catch,
    propagate::Propagate,
    tracer::{StartedCall, Tracer},
};
use crate::types::TraceContext;

/// Makes a span for each call that a node makes, and for each handler that it runs. Set by
/// [`NodeBuilder::spans`](crate::NodeBuilder::spans). The spans are those of the crate `tracing`, or of a
/// [`Tracer`](crate::Tracer), which costs less.
///
/// The span of a call covers all of its attempts. Its parent is the span in which its future is first polled. The span of
/// a handler is entered whenever the handler is polled, and is the parent of the calls that the handler makes, also in its
/// tasks. With `tracing`, what the handler logs is part of its span. If a call runs in process, the span of its handler is a child of its own
/// span. Between nodes, this needs [`with_propagation`](Spans::with_propagation) or [`with_tracer`](Spans::with_tracer).
///
/// # Spans of `tracing`
///
/// They are called `rpc`, have the level INFO, and the target `flyrpc::call`. Their fields are named after the RPC
/// conventions 1.45 of OpenTelemetry:
///
/// | field | span | value |
/// |---|---|---|
/// | `otel.name`, `rpc.method` | both | service and method, such as `Strings/upcase` |
/// | `otel.kind` | both | `client` for a call, `server` for a handler |
/// | `rpc.system.name` | both | `flyrpc` |
/// | `rpc.status_code` | both | `OK`, `ERR` if the handler returned an `Err`, the text of an [`ErrorKind`](crate::ErrorKind), or `CANCELLED` |
/// | `error.type` | both | the same, only if the call or the handler failed. `OK`, `ERR` and, for a handler, `CANCELLED` are not failures |
/// | `otel.status_code` | both | `ERROR`, only if it failed |
/// | `server.address` | both | the region of the node that runs the handler |
/// | `network.peer.address`, `network.peer.port` | both | the address of the other node: the one that was contacted last, or the caller |
///
/// Each attempt of a call is an event of its span, `call attempt started`, at the level INFO, with the fields `attempt` (its number), `node`, `region`, and
/// from the second one on, `reason`: the kind of the error of the attempt before, or `NOT_FAILED`.
///
/// The two spans of a call take several microseconds with a layer for OpenTelemetry, also if the trace is not sampled.
#[derive(Clone)]
pub struct Spans(Maker);

/// What makes the spans.
#[derive(Clone)]
pub(super) enum Maker {
    /// The crate `tracing`.
    Tracing(Option<Arc<dyn Propagate>>),
    Tracer(Arc<dyn Tracer>),
}

impl Spans {
    /// Makes spans of `tracing` without propagation: the spans of two nodes do not refer to each other.
    pub fn new() -> Self {
        Spans(Maker::Tracing(None))
    }

    /// Makes spans of `tracing`, and lets `propagate` send the context of the trace with each call. The crate `flyrpc-otel`
    /// has an implementation for OpenTelemetry.
    pub fn with_propagation(propagate: impl Propagate) -> Self {
        Spans(Maker::Tracing(Some(Arc::new(propagate))))
    }

    /// Makes spans with `tracer`, without `tracing`. Such spans cost less, and almost nothing if their trace is not sampled.
    /// The crate `flyrpc-otel` has an implementation for OpenTelemetry.
    pub fn with_tracer(tracer: impl Tracer) -> Self {
        Spans(Maker::Tracer(Arc::new(tracer)))
    }

    pub(super) fn maker(&self) -> &Maker {
        &self.0
    }

    /// Starts the span of a call of `method`.
    pub(crate) fn start_call(&self, method: &'static str) -> CallSpan {
        match &self.0 {
            Maker::Tracing(_) => CallSpan::of_tracing(method, |span| self.inject(span)),
            Maker::Tracer(tracer) => {
                let started = catch(|| tracer.start_call(method));
                let StartedCall { context, span } =
                    started.unwrap_or(StartedCall { context: None, span: None });
                CallSpan::of_tracer(context, span)
            }
        }
    }

    /// Returns what to send so that the span of a handler becomes a child of `span`.
    fn inject(&self, span: &Span) -> Option<TraceContext> {
        let propagate = self.propagate().filter(|_| !span.is_disabled())?;
        catch(|| propagate.inject(span)).flatten()
    }

    /// Makes `span` a child of the span with this context, which is on another node.
    pub(super) fn extract(&self, context: &TraceContext, span: &Span) {
        if let Some(propagate) = self.propagate().filter(|_| !span.is_disabled()) {
            catch(|| propagate.extract(context, span));
        }
    }

    fn propagate(&self) -> Option<&dyn Propagate> {
        match &self.0 {
            Maker::Tracing(propagate) => propagate.as_deref(),
            Maker::Tracer(_) => None,
        }
    }
}

/// Spans of `tracing` without propagation.
impl Default for Spans {
    fn default() -> Self {
        Spans::new()
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (maker, propagates) = match &self.0 {
            Maker::Tracing(propagate) => ("tracing", propagate.is_some()),
            Maker::Tracer(_) => ("tracer", true),
        };
        f.debug_struct("Spans").field("maker", &maker).field("propagates", &propagates).finish()
    }
}
