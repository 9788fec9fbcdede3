//! The span of a handler.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing::{Id, Span};

use super::{
    call_span::{LocalParent, record_end, rpc_span},
    catch::catch,
    config::{Maker, Spans},
    tracer::{HandlerStart, ServerSpan, SpanEnd},
};
use crate::{
    telemetry::{ServeOutcome, status::CallStatus},
    types::{NodeInfo, TraceContext},
};

/// The span of a handler, until the handler ends. Dropping it ends the span of a handler that was canceled.
pub(crate) struct ServeSpan {
    /// `None` if the tracer panicked.
    span: Option<Arc<dyn ServerSpan>>,
    outcome: ServeOutcome,
}

/// A span of `tracing`. Copies of the handler's context must not keep it open, so it is removed at its end.
struct TracingSpan(Mutex<Span>);

impl ServeSpan {
    /// Creates the span of a handler of `method` that runs on `node` for `caller`. Its parent is the span with the caller's
    /// `context`, if there is one.
    pub(crate) fn of_request(
        spans: &Spans,
        method: &'static str,
        (node, caller): (&NodeInfo, &NodeInfo),
        context: Option<&TraceContext>,
    ) -> Self {
        ServeSpan::new(spans, method, (node, caller), None, context)
    }

    /// Creates the span of a handler that runs for a call with the span `parent` of the same node.
    pub(crate) fn of_local_call(
        spans: &Spans,
        method: &'static str,
        node: &NodeInfo,
        parent: &LocalParent,
    ) -> Self {
        let (span, context) = match parent {
            LocalParent::Tracing(span) => (span.id(), None),
            LocalParent::Tracer(context) => (None, context.as_ref()),
        };
        ServeSpan::new(spans, method, (node, node), span, context)
    }

    /// Creates the span as a child of the span `parent` of `tracing`, or of the span with this `context`.
    fn new(
        spans: &Spans,
        method: &'static str,
        (node, caller): (&NodeInfo, &NodeInfo),
        parent: Option<Id>,
        context: Option<&TraceContext>,
    ) -> Self {
        let span: Option<Arc<dyn ServerSpan>> = match spans.maker() {
            Maker::Tracing(_) => {
                let span = rpc_span("server", method, parent, Some((node, caller)));
                if let Some(context) = context {
                    spans.extract(context, &span);
                }
                Some(Arc::new(TracingSpan(Mutex::new(span))))
            }
            Maker::Tracer(tracer) => {
                let start = HandlerStart { method, node, caller, parent: context };
                catch(|| tracer.start_handler(&start))
            }
        };
        ServeSpan { span, outcome: ServeOutcome::Cancelled }
    }

    /// Returns the span, for the context of the handler.
    pub(crate) fn share(&self) -> Option<Arc<dyn ServerSpan>> {
        self.span.clone()
    }

    /// Ends the span.
    pub(crate) fn end(mut self, outcome: ServeOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for ServeSpan {
    fn drop(&mut self) {
        let Some(span) = &self.span else { return };
        let is_failure = matches!(self.outcome, ServeOutcome::Failed(_));
        let status = CallStatus::from(self.outcome).as_str();
        catch(|| span.end(SpanEnd { status, is_failure }));
    }
}

impl TracingSpan {
    fn lock(&self) -> MutexGuard<'_, Span> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerSpan for TracingSpan {
    fn enter(&self, poll: &mut dyn FnMut()) {
        let span = self.lock().clone();
        span.in_scope(poll);
    }

    fn end(&self, end: SpanEnd) {
        let span = std::mem::replace(&mut *self.lock(), Span::none());
        record_end(&span, end);
    }
}

/// Runs `poll` inside `span`.
pub(crate) fn enter<T>(span: &dyn ServerSpan, poll: impl FnOnce() -> T) -> T {
    let (mut poll, mut result) = (Some(poll), None);
    catch(|| {
        span.enter(&mut || {
            if let Some(poll) = poll.take() {
                result = Some(catch_unwind(AssertUnwindSafe(poll)));
            }
        });
    });
    match (result, poll) {
        (Some(result), _) => result.unwrap_or_else(|panic| resume_unwind(panic)),
        // A faulty implementation has not called it.
        (None, Some(poll)) => poll(),
        (None, None) => unreachable!("it has a result once it was taken"),
    }
}
