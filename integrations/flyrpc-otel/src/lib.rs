#![doc = include_str!("../README.md")]

use flyrpc::{Propagate, Spans, TraceContext};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Returns spans for [`NodeBuilder::spans`](flyrpc::NodeBuilder::spans) that send the context of their trace with each
/// call.
///
/// `provider` is the application's own, which also made the tracer of its layer for `tracing`. It is not used: its type
/// shows that the application has the same version of OpenTelemetry as this crate. With another one, the layer would not
/// find the context, and each node would begin a trace of its own.
pub fn propagate(provider: &SdkTracerProvider) -> Spans {
    let _same_version = provider;
    Spans::with_propagation(OpenTelemetry)
}

/// The context of OpenTelemetry's spans, by way of the layer of `tracing-opentelemetry`.
#[derive(Debug)]
struct OpenTelemetry;

impl Propagate for OpenTelemetry {
    fn inject(&self, span: &Span) -> Option<TraceContext> {
        let context = span.context();
        let span = context.span();
        let context = span.span_context();
        let (trace_id, span_id) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
        let sent = TraceContext::new(trace_id, span_id, context.trace_flags().to_u8())?;
        Some(sent.with_state(&context.trace_state().header()))
    }

    fn extract(&self, context: &TraceContext, span: &Span) {
        let state: TraceState = context.state().parse().unwrap_or_default();
        let parent = SpanContext::new(
            TraceId::from_bytes(context.trace_id()),
            SpanId::from_bytes(context.span_id()),
            TraceFlags::new(context.flags()),
            true,
            state,
        );
        let parent = opentelemetry::Context::new().with_remote_span_context(parent);
        // Fails if the application has no layer for OpenTelemetry, or filters the span.
        let _ = span.set_parent(parent);
    }
}
