//! Spans of `tracing`, with the context of OpenTelemetry.

use flyrpc::{Propagate, TraceContext};
use opentelemetry::{Context, trace::TraceContextExt as _};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{to_sent, to_span_context};

/// The context of OpenTelemetry's spans, through the layer of `tracing-opentelemetry`.
#[derive(Debug)]
pub(crate) struct OpenTelemetry;

impl Propagate for OpenTelemetry {
    fn inject(&self, span: &Span) -> Option<TraceContext> {
        to_sent(span.context().span().span_context())
    }

    fn extract(&self, context: &TraceContext, span: &Span) {
        let parent = Context::new().with_remote_span_context(to_span_context(context, true));
        // Fails if the application has no layer for OpenTelemetry, or filters the span.
        let _ = span.set_parent(parent);
    }
}
