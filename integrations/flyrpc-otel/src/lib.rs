#![doc = include_str!("../README.md")]

mod direct;
mod nodes;
mod propagated;

use flyrpc::{Spans, TraceContext};
use opentelemetry::{
    InstrumentationScope,
    trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState, TracerProvider as _},
};
use opentelemetry_sdk::trace::SdkTracerProvider;

/// Returns spans for [`NodeBuilder::spans`](flyrpc::NodeBuilder::spans) that are made with OpenTelemetry directly, and send
/// the context of their trace with each call. They do not use `tracing`, and its filters do not affect them.
///
/// The parent of a call's span is OpenTelemetry's current one, and the span of a handler is the current one whenever the
/// handler is polled. `tracing-opentelemetry` 0.34 makes its spans current, and uses the current one as the parent, so spans
/// of `tracing` and these are part of the same traces.
///
/// If a trace is not sampled, the sampler is not asked again on other nodes, and their spans are left out. Of a call, a sampler sees the name, such as `Strings/upcase`, and the kind, and no
/// attributes.
pub fn spans(provider: &SdkTracerProvider) -> Spans {
    let scope = InstrumentationScope::builder("flyrpc").with_version(env!("CARGO_PKG_VERSION"));
    Spans::with_tracer(direct::OpenTelemetry::new(provider.tracer_with_scope(scope.build())))
}

/// Returns spans for [`NodeBuilder::spans`](flyrpc::NodeBuilder::spans) that are spans of `tracing`, and send the context of
/// their trace with each call. They cost more than those of [`spans`], and are for applications that also show them
/// without OpenTelemetry, such as in log lines.
///
/// `provider` is the application's own, which also made the tracer of its layer for `tracing`. It is not used: its type
/// shows that the application has the same version of OpenTelemetry as this crate. With another one, the layer would not
/// find the context, and each node would begin a trace of its own.
pub fn propagate(provider: &SdkTracerProvider) -> Spans {
    let _same_version = provider;
    Spans::with_propagation(propagated::OpenTelemetry)
}

/// Returns the context to send with a call that has this span. Returns `None` if it belongs to no trace.
fn to_sent(context: &SpanContext) -> Option<TraceContext> {
    let (trace_id, span_id) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
    let sent = TraceContext::new(trace_id, span_id, context.trace_flags().to_u8())?;
    Some(sent.with_state(&context.trace_state().header()))
}

/// Returns the context of the caller's span, which is remote if it is on another node. An invalid state is ignored, as the
/// recommendation demands.
fn to_span_context(sent: &TraceContext, is_remote: bool) -> SpanContext {
    let state = match sent.state() {
        "" => TraceState::NONE,
        state => state.parse().unwrap_or_default(),
    };
    SpanContext::new(
        TraceId::from_bytes(sent.trace_id()),
        SpanId::from_bytes(sent.span_id()),
        TraceFlags::new(sent.flags()),
        is_remote,
        state,
    )
}
