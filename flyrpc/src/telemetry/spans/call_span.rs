//! The span of a call.

use tracing::{
    Id, Span,
    field::{self, Empty},
    record_all,
};

use super::config::Spans;
use crate::{
    error::ErrorKind,
    telemetry::{Outcome, status, status::CallStatus},
    types::{NodeInfo, TraceContext},
};

/// The span of a call, until the call ends.
pub(crate) struct CallSpan(Span);

impl CallSpan {
    /// Creates the span, as a child of the current one.
    pub(crate) fn new(service: &str, method: &str) -> Self {
        CallSpan(rpc_span("client", &format!("{service}/{method}"), Span::current().id(), None))
    }

    pub(crate) fn span(&self) -> &Span {
        &self.0
    }

    /// Returns the context to send with the call.
    pub(crate) fn context(&self, spans: &Spans) -> Option<TraceContext> {
        spans.inject(&self.0)
    }

    /// Records that attempt `attempt` starts on `node`. `previous` is the kind of the error of the attempt before.
    pub(crate) fn on_attempt(&self, attempt: u32, node: &NodeInfo, previous: Option<ErrorKind>) {
        if self.0.is_disabled() {
            return;
        }
        let region = node.region();
        let reason = (attempt > 1).then(|| status::reason_for_retry(previous));
        tracing::info!(
            target: "flyrpc::call",
            parent: &self.0,
            attempt,
            %node,
            %region,
            reason,
            "call attempt started"
        );
    }

    /// Ends the span of a call. `node` is the node that was contacted last.
    pub(crate) fn end(self, node: Option<&NodeInfo>, outcome: &Outcome<'_>) {
        let CallSpan(span) = self;
        if span.is_disabled() {
            return;
        }
        if let Some(node) = node {
            let region = node.region();
            record_all!(
                span,
                server.address = region.as_str(),
                network.peer.address = %node.addr().ip(),
                network.peer.port = node.addr().port()
            );
        }
        let is_failure = !matches!(outcome, Outcome::Replied(_) | Outcome::RepliedErr(_));
        end(&span, CallStatus::from(outcome).as_str(), is_failure);
    }
}

/// Creates the span of a call (kind `client`) or of a handler (kind `server`). The span of a handler has the node that
/// runs it and its caller from the start, because recording a field later costs more.
pub(super) fn rpc_span(
    kind: &str,
    name: &str,
    parent: Option<Id>,
    ends: Option<(&NodeInfo, &NodeInfo)>,
) -> Span {
    tracing::info_span!(
        target: "flyrpc::call",
        parent: parent,
        "rpc",
        otel.name = name,
        otel.kind = kind,
        otel.status_code = Empty,
        rpc.system.name = "flyrpc",
        rpc.method = name,
        rpc.status_code = Empty,
        "error.type" = Empty,
        server.address = ends.map(|(server, _)| server.region().as_str()),
        network.peer.address = ends.map(|(_, peer)| field::display(peer.addr().ip())),
        network.peer.port = ends.map(|(_, peer)| peer.addr().port()),
    )
}

/// Records how a call or a handler ended, just now.
pub(super) fn end(span: &Span, status: &'static str, is_failure: bool) {
    // For `tracing-opentelemetry`, a span ends when it is exited for the last time, even if it is kept for longer.
    let _entered = span.enter();
    if is_failure {
        record_all!(
            span,
            rpc.status_code = status,
            "error.type" = status,
            otel.status_code = "ERROR"
        );
    } else {
        span.record("rpc.status_code", status);
    }
}
