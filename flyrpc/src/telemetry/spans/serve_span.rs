//! The span of a handler.

use std::sync::{Arc, Weak};

use tracing::Span;

use super::{
    call_span::{end, rpc_span},
    config::Spans,
};
use crate::{
    telemetry::{ServeOutcome, status::CallStatus},
    types::{NodeInfo, TraceContext},
};

/// The span of a handler, until the handler ends. Dropping it ends the span of a handler that was canceled.
pub(crate) struct ServeSpan {
    span: Arc<Span>,
    outcome: ServeOutcome,
}

impl ServeSpan {
    /// Creates the span of a handler that runs on `node` for `caller`. Its parent is the span with the caller's `context`,
    /// if there is one.
    pub(crate) fn of_request(
        spans: &Spans,
        name: &str,
        (node, caller): (&NodeInfo, &NodeInfo),
        context: Option<&TraceContext>,
    ) -> Self {
        let this = ServeSpan::new(name, (node, caller), &Span::none());
        if let Some(context) = context {
            spans.extract(context, &this.span);
        }
        this
    }

    /// Creates the span of a handler that runs for a call with the span `parent` of the same node.
    pub(crate) fn of_local_call(name: &str, node: &NodeInfo, parent: &Span) -> Self {
        ServeSpan::new(name, (node, node), parent)
    }

    fn new(name: &str, (node, caller): (&NodeInfo, &NodeInfo), parent: &Span) -> Self {
        let span = rpc_span("server", name, parent.id(), Some((node, caller)));
        ServeSpan { span: Arc::new(span), outcome: ServeOutcome::Cancelled }
    }

    /// Returns the span, for the context of the handler. Copies of the context must not keep it open.
    pub(crate) fn share(&self) -> Weak<Span> {
        Arc::downgrade(&self.span)
    }

    /// Ends the span.
    pub(crate) fn end(mut self, outcome: ServeOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for ServeSpan {
    fn drop(&mut self) {
        let is_failure = matches!(self.outcome, ServeOutcome::Failed(_));
        end(&self.span, CallStatus::from(self.outcome).as_str(), is_failure);
    }
}
