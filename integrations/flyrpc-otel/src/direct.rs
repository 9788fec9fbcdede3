//! Spans that are made with OpenTelemetry directly. Their names and attributes follow the RPC conventions 1.45.

use std::sync::Arc;

use flyrpc::{ClientSpan, HandlerStart, NodeInfo, ServerSpan, SpanEnd, StartedCall, Tracer};
use opentelemetry::{
    Context, KeyValue,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
    },
};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use crate::{nodes::Nodes, to_sent, to_span_context};

/// Makes the spans of calls and handlers.
#[derive(Debug)]
pub(crate) struct OpenTelemetry {
    tracer: SdkTracer,
    nodes: Arc<Nodes>,
}

/// The recorded span of a call.
struct Call {
    span: Span,
    nodes: Arc<Nodes>,
}

/// The context that is current in a handler: with the handler's span, or with the caller's if the trace is not sampled.
struct Handler(Context);

impl OpenTelemetry {
    pub(crate) fn new(tracer: SdkTracer) -> Self {
        OpenTelemetry { tracer, nodes: Arc::default() }
    }
}

impl Tracer for OpenTelemetry {
    fn start_call(&self, method: &'static str) -> StartedCall {
        // The SDK runs code of the application, which may need the cell that `map_current` borrows.
        let parent = match Context::map_current(not_sampled) {
            Some(parent) => return StartedCall { context: to_sent(&parent), span: None },
            None => Context::current(),
        };
        let builder = SpanBuilder::from_name(method).with_kind(SpanKind::Client);
        let mut span = self.tracer.build_with_context(builder, &parent);
        // Without a valid context if the provider was shut down.
        let context = to_sent(span.span_context());
        let context = context.or_else(|| to_sent(parent.span().span_context()));
        let mut recorded: Option<Box<dyn ClientSpan>> = None;
        if span.is_recording() {
            span.set_attributes(system_and_method(method));
            recorded = Some(Box::new(Call { span, nodes: Arc::clone(&self.nodes) }));
        }
        StartedCall { context, span: recorded }
    }

    fn start_handler(&self, start: &HandlerStart<'_>) -> Arc<dyn ServerSpan> {
        let HandlerStart { method, node, caller, parent, .. } = *start;
        let is_local = node.id() == caller.id();
        // A handler in the caller's task keeps the caller's baggage.
        let mut context = if is_local { Context::current() } else { Context::new() };
        if let Some(parent) = parent {
            context = context.with_remote_span_context(to_span_context(parent, !is_local));
            if not_sampled(&context).is_some() {
                return Arc::new(Handler(context));
            }
        }
        // The trace is sampled, or this is its first span.
        let mut attributes = Vec::with_capacity(8);
        attributes.extend(system_and_method(method));
        attributes.push(self.nodes.get(node).server());
        attributes.extend(self.nodes.get(caller).peer());
        let builder = SpanBuilder::from_name(method).with_kind(SpanKind::Server);
        let span = self.tracer.build_with_context(builder.with_attributes(attributes), &context);
        if span.span_context().is_valid() {
            context = context.with_span(span);
        }
        Arc::new(Handler(context))
    }
}

impl ClientSpan for Call {
    fn on_attempt(&mut self, attempt: u32, node: &NodeInfo, reason: Option<&'static str>) {
        let mut attributes = Vec::with_capacity(4);
        attributes.push(KeyValue::new("attempt", i64::from(attempt)));
        attributes.extend(self.nodes.get(node).attempt());
        attributes.extend(reason.map(|reason| KeyValue::new("reason", reason)));
        self.span.add_event("call attempt started", attributes);
    }

    fn end(self: Box<Self>, end: SpanEnd, node: Option<&NodeInfo>) {
        let Call { mut span, nodes } = *self;
        if let Some(node) = node {
            let node = nodes.get(node);
            span.set_attribute(node.server());
            span.set_attributes(node.peer());
        }
        span.set_attributes(status(end));
        if end.is_failure {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

impl ServerSpan for Handler {
    fn enter(&self, poll: &mut dyn FnMut()) {
        let _entered = self.0.clone().attach();
        poll();
    }

    fn end(&self, end: SpanEnd) {
        let span = self.0.span();
        if !span.is_recording() {
            return;
        }
        status(end).for_each(|attribute| span.set_attribute(attribute));
        if end.is_failure {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// Returns the span of a context whose trace is not sampled, or in which telemetry is suppressed. The sampler is not asked
/// again for the spans below it, and they are left out.
fn not_sampled(context: &Context) -> Option<SpanContext> {
    let span = context.span();
    let parent = span.span_context();
    if context.is_telemetry_suppressed() {
        let flags = parent.trace_flags().with_sampled(false);
        let (trace, id) = (parent.trace_id(), parent.span_id());
        return Some(SpanContext::new(trace, id, flags, false, parent.trace_state().clone()));
    }
    // A span that is recorded without being sampled is for processors of the application, which may want those below it.
    let is_final = parent.is_valid() && !parent.is_sampled() && !span.is_recording();
    is_final.then(|| parent.clone())
}

fn system_and_method(method: &'static str) -> [KeyValue; 2] {
    [KeyValue::new("rpc.system.name", "flyrpc"), KeyValue::new("rpc.method", method)]
}

fn status(end: SpanEnd) -> impl Iterator<Item = KeyValue> {
    let failure = end.is_failure.then(|| KeyValue::new("error.type", end.status));
    [KeyValue::new("rpc.status_code", end.status)].into_iter().chain(failure)
}
