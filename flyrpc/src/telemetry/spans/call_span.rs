//! The span of a call.

use tracing::{
    Id, Span,
    field::{self, Empty},
    record_all,
};

use super::{
    catch::catch,
    tracer::{ClientSpan, SpanEnd},
};
use crate::{
    error::ErrorKind,
    telemetry::{Outcome, status, status::CallStatus},
    types::{NodeInfo, TraceContext},
};

/// The span of a call, until the call ends.
pub(crate) struct CallSpan {
    /// Sent with the call. `None` if it belongs to no trace.
    context: Option<TraceContext>,
    recording: Recording,
}

/// What records the events of a call.
enum Recording {
    Tracing(Span),
    /// `None` if the trace is not sampled.
    Tracer(Option<Box<dyn ClientSpan>>),
}

/// The span of a call whose handler runs on the same node.
pub(crate) enum LocalParent {
    Tracing(Span),
    Tracer(Option<TraceContext>),
}

impl CallSpan {
    /// The span of a call of `method`, as a child of the current one. `context` is determined from the span.
    pub(super) fn of_tracing(
        method: &'static str,
        context: impl FnOnce(&Span) -> Option<TraceContext>,
    ) -> Self {
        let span = rpc_span("client", method, Span::current().id(), None);
        CallSpan { context: context(&span), recording: Recording::Tracing(span) }
    }

    pub(super) fn of_tracer(
        context: Option<TraceContext>,
        span: Option<Box<dyn ClientSpan>>,
    ) -> Self {
        CallSpan { context, recording: Recording::Tracer(span) }
    }

    /// The context to send with the call.
    pub(crate) fn context(&self) -> Option<&TraceContext> {
        self.context.as_ref()
    }

    /// Whether anything is recorded in it: whether the trace is sampled, as far as the tracer tells.
    pub(crate) fn is_recording(&self) -> bool {
        !matches!(self.recording, Recording::Tracer(None))
    }

    /// Returns the parent of the span of a handler that runs on this node.
    pub(crate) fn local_parent(&self) -> LocalParent {
        match &self.recording {
            Recording::Tracing(span) => LocalParent::Tracing(span.clone()),
            Recording::Tracer(_) => LocalParent::Tracer(self.context.clone()),
        }
    }

    /// Records that attempt `attempt` starts on `node`. `previous` is the kind of the error of the attempt before.
    pub(crate) fn on_attempt(
        &mut self,
        attempt: u32,
        node: &NodeInfo,
        previous: Option<ErrorKind>,
    ) {
        let reason = (attempt > 1).then(|| status::reason_for_retry(previous));
        match &mut self.recording {
            Recording::Tracing(span) if span.is_disabled() => {}
            Recording::Tracing(span) => {
                let region = node.region();
                tracing::info!(
                    target: "flyrpc::call",
                    parent: &*span,
                    attempt,
                    %node,
                    %region,
                    reason,
                    "call attempt started"
                );
            }
            Recording::Tracer(None) => {}
            Recording::Tracer(Some(span)) => {
                catch(|| span.on_attempt(attempt, node, reason));
            }
        }
    }

    /// Ends the span of a call. `node` is the node that was contacted last.
    pub(crate) fn end(self, node: Option<&NodeInfo>, outcome: &Outcome<'_>) {
        let is_failure = !matches!(outcome, Outcome::Replied(_) | Outcome::RepliedErr(_));
        let end = SpanEnd { status: CallStatus::from(outcome).as_str(), is_failure };
        match self.recording {
            Recording::Tracing(span) if span.is_disabled() => {}
            Recording::Tracing(span) => {
                if let Some(node) = node {
                    record_all!(
                        span,
                        server.address = node.region().as_str(),
                        network.peer.address = %node.addr().ip(),
                        network.peer.port = node.addr().port()
                    );
                }
                record_end(&span, end);
            }
            Recording::Tracer(None) => {}
            Recording::Tracer(Some(span)) => {
                catch(|| span.end(end, node));
            }
        }
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
pub(super) fn record_end(span: &Span, SpanEnd { status, is_failure }: SpanEnd) {
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
