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

use crate::{nodes::Nodes, of_caller, to_sent};

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

/// The context whose span is that of a handler, or of its caller if the trace is not sampled.
struct Handler(Context);

impl OpenTelemetry {
    pub(crate) fn new(tracer: SdkTracer) -> Self {
        OpenTelemetry { tracer, nodes: Arc::default() }
    }
}

impl Tracer for OpenTelemetry {
    fn start_call(&self, method: &'static str) -> StartedCall {
        Context::map_current(|current| {
            let parent = current.span();
            let parent = parent.span_context();
            if is_not_sampled(parent) {
                return StartedCall { context: to_sent(parent), span: None };
            }
            let builder = SpanBuilder::from_name(method).with_kind(SpanKind::Client);
            let mut span = self.tracer.build_with_context(builder, current);
            let context = to_sent(span.span_context());
            let mut recorded: Option<Box<dyn ClientSpan>> = None;
            if span.is_recording() {
                span.set_attributes(system_and_method(method));
                recorded = Some(Box::new(Call { span, nodes: Arc::clone(&self.nodes) }));
            }
            StartedCall { context, span: recorded }
        })
    }

    fn start_handler(&self, start: &HandlerStart<'_>) -> Arc<dyn ServerSpan> {
        let mut context = Context::new();
        if let Some(caller) = start.parent.map(of_caller) {
            let is_final = is_not_sampled(&caller);
            context = context.with_remote_span_context(caller);
            if is_final {
                return Arc::new(Handler(context));
            }
        }
        // The trace is sampled, or this is its first span.
        let mut attributes = Vec::with_capacity(8);
        attributes.extend(system_and_method(start.method));
        attributes.push(self.nodes.get(start.node).server());
        attributes.extend(self.nodes.get(start.caller).peer());
        let builder = SpanBuilder::from_name(start.method).with_kind(SpanKind::Server);
        let span = self.tracer.build_with_context(builder.with_attributes(attributes), &context);
        Arc::new(Handler(context.with_span(span)))
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

/// Whether this is the context of a trace that is not sampled. The decision is made once per trace, for its first span: then
/// the sampler is not asked again, and spans are left out.
fn is_not_sampled(context: &SpanContext) -> bool {
    context.is_valid() && !context.is_sampled()
}

fn system_and_method(method: &'static str) -> [KeyValue; 2] {
    [KeyValue::new("rpc.system.name", "flyrpc"), KeyValue::new("rpc.method", method)]
}

fn status(end: SpanEnd) -> impl Iterator<Item = KeyValue> {
    let failure = end.is_failure.then(|| KeyValue::new("error.type", end.status));
    [KeyValue::new("rpc.status_code", end.status)].into_iter().chain(failure)
}
