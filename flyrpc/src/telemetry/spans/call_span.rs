//! The span of a call.

use tracing::{Span, field::Empty};

use super::config::Spans;
use crate::{
    error::ErrorKind,
    telemetry::{Outcome, status},
    types::{NodeInfo, TraceContext},
};

/// The span of a call, until the call ends.
pub(crate) struct CallSpan {
    spans: Spans,
    span: Span,
    attempts: u32,
}

impl CallSpan {
    /// Creates the span, as a child of the current one.
    pub(crate) fn new(spans: &Spans, service: &str, method: &str) -> Self {
        let name = format!("{service}/{method}");
        let span = tracing::info_span!(
            target: "flyrpc::call",
            "rpc",
            otel.name = name,
            otel.kind = "client",
            otel.status_code = Empty,
            rpc.system.name = "flyrpc",
            rpc.method = name,
            rpc.status_code = Empty,
            "error.type" = Empty,
            server.address = Empty,
            network.peer.address = Empty,
            network.peer.port = Empty,
        );
        CallSpan { spans: spans.clone(), span, attempts: 0 }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Returns the context to send with the call.
    pub(crate) fn context(&self) -> Option<TraceContext> {
        self.spans.inject(&self.span)
    }

    /// Records that an attempt starts on `node`. `previous` is the kind of the error of the attempt before.
    pub(crate) fn on_attempt(&mut self, node: &NodeInfo, previous: Option<ErrorKind>) {
        self.attempts += 1;
        if self.span.is_disabled() {
            return;
        }
        let (attempt, region) = (self.attempts, node.region());
        let reason = (attempt > 1).then(|| previous.map_or("NOT_FAILED", ErrorKind::as_str));
        tracing::info!(
            target: "flyrpc::call",
            parent: &self.span,
            attempt,
            %node,
            %region,
            reason,
            "call attempt started"
        );
    }

    /// Ends the span of a call. `node` is the node that was contacted last.
    pub(crate) fn end(self, node: Option<&NodeInfo>, outcome: &Outcome<'_>) {
        let CallSpan { span, .. } = self;
        if span.is_disabled() {
            return;
        }
        if let Some(node) = node {
            span.record("server.address", node.region().as_str());
            record_peer(&span, node);
        }
        let is_failure = !matches!(outcome, Outcome::Replied(_) | Outcome::RepliedErr(_));
        end(&span, status::of_call(outcome), is_failure);
    }
}

/// Records the address of the other node.
pub(super) fn record_peer(span: &Span, node: &NodeInfo) {
    span.record("network.peer.address", tracing::field::display(node.addr().ip()));
    span.record("network.peer.port", node.addr().port());
}

/// Records how a call or a handler ended, just now.
pub(super) fn end(span: &Span, status: &'static str, is_failure: bool) {
    // For `tracing-opentelemetry`, a span ends when it is exited for the last time, even if it is kept for longer.
    let _entered = span.enter();
    span.record("rpc.status_code", status);
    if is_failure {
        span.record("error.type", status);
        span.record("otel.status_code", "ERROR");
    }
}
