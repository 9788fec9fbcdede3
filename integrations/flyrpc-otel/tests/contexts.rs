//! The contexts of OpenTelemetry in which calls and handlers run.

use std::{collections::HashSet, time::Duration};

use flyrpc::fly_rpc;
use flyrpc_testkit::{Release, SimCluster};
use opentelemetry::{
    Context, KeyValue,
    baggage::BaggageExt as _,
    trace::{
        FutureExt as _, Link, SpanKind, TraceContextExt as _, TraceId, Tracer as _,
        TracerProvider as _,
    },
};
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, Sampler, SamplingResult, SdkTracerProvider, ShouldSample, SpanData,
};
use tokio::time::sleep;

#[fly_rpc]
trait Hops {
    /// Calls the next region of the list, which calls the one after it.
    async fn hop(&self, regions: Vec<String>);
    /// Spawns a task that calls this region when the handler has ended.
    async fn later(&self, region: String);
    /// Returns the baggage `user`, as the handler sees it.
    async fn user(&self) -> Option<String>;
}

struct Hopper;

impl Hops for Hopper {
    async fn hop(&self, mut regions: Vec<String>) {
        if let Some(region) = regions.pop() {
            let next: HopsClient = flyrpc::context().client();
            next.on_region(region).hop(regions).await.unwrap();
        }
    }

    async fn later(&self, region: String) {
        let next: HopsClient = flyrpc::context().client();
        flyrpc::spawn(async move {
            sleep(Duration::from_secs(1)).await;
            next.on_region(region).hop(vec![]).await.unwrap();
        });
    }

    async fn user(&self) -> Option<String> {
        Context::map_current(|current| current.baggage().get("user").map(ToString::to_string))
    }
}

/// A provider, and what it exports.
fn provider(sampler: impl ShouldSample + 'static) -> (SdkTracerProvider, InMemorySpanExporter) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_sampler(sampler);
    (provider.with_simple_exporter(exporter.clone()).build(), exporter)
}

fn release(provider: &SdkTracerProvider) -> Release {
    let provider = provider.clone();
    let release = Release::new().serve(|_| ServeHops::new(Hopper));
    release.configure(move |_, builder| builder.spans(flyrpc_otel::spans(&provider)))
}

/// Nodes in three regions, all with this provider.
async fn cluster(provider: &SdkTracerProvider) -> SimCluster {
    let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1).region("fra", 1);
    cluster.release(release(provider)).start().await
}

fn hops(cluster: &SimCluster) -> HopsClient {
    cluster.node("iad-0").client()
}

/// The number of traces.
fn traces(spans: &[SpanData]) -> usize {
    let ids: HashSet<TraceId> = spans.iter().map(|span| span.span_context.trace_id()).collect();
    ids.len()
}

#[tokio::test(start_paused = true)]
async fn a_task_that_outlives_its_handler_stays_in_its_trace() {
    let (provider, exporter) = provider(Sampler::AlwaysOn);
    let cluster = cluster(&provider).await;
    hops(&cluster).on_region("hkg").later("fra".into()).await.unwrap();
    assert_eq!(exporter.get_finished_spans().unwrap().len(), 2);
    sleep(Duration::from_secs(10)).await;
    let spans = exporter.get_finished_spans().unwrap();
    assert_eq!((spans.len(), traces(&spans)), (4, 1), "{spans:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_trace_continues_behind_a_node_whose_provider_was_shut_down() {
    let [(on, exporter), (off, _)] = [provider(Sampler::AlwaysOn), provider(Sampler::AlwaysOn)];
    let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1).region("fra", 1);
    let cluster = cluster.release(release(&on)).node("hkg-0", release(&off)).start().await;
    off.shutdown().unwrap();
    hops(&cluster).on_region("hkg").hop(vec!["fra".into()]).await.unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    assert_eq!((spans.len(), traces(&spans)), (2, 1), "{spans:#?}");
    let call = spans.iter().find(|span| span.span_kind == SpanKind::Client).unwrap();
    let handler = spans.iter().find(|span| span.span_kind == SpanKind::Server).unwrap();
    assert_eq!(handler.parent_span_id, call.span_context.span_id());
    assert!(handler.parent_span_is_remote);
}

#[tokio::test(start_paused = true)]
async fn calls_whose_telemetry_is_suppressed_have_no_spans() {
    let (provider, exporter) = provider(Sampler::AlwaysOn);
    let cluster = cluster(&provider).await;
    let span = provider.tracer("test").start("suppressed");
    let context = Context::current_with_span(span).with_telemetry_suppressed();
    for region in ["iad", "hkg"] {
        let call = hops(&cluster).on_region(region).hop(vec!["fra".into()]);
        call.with_context(context.clone()).await.unwrap();
    }
    assert_eq!(exporter.get_finished_spans().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_in_process_keeps_the_baggage_and_has_a_local_parent() {
    let (provider, exporter) = provider(Sampler::AlwaysOn);
    let cluster = cluster(&provider).await;
    let context = Context::current_with_baggage([KeyValue::new("user", "ann")]);
    let user = hops(&cluster).on_region("iad").user().with_context(context).await.unwrap();
    assert_eq!(user.as_deref(), Some("ann"));
    let spans = exporter.get_finished_spans().unwrap();
    let handler = spans.iter().find(|span| span.span_kind == SpanKind::Server).unwrap();
    assert!(!handler.parent_span_is_remote);
}

/// Attaches a context while it decides, as code of an application may do.
#[derive(Debug, Clone)]
struct Attaching;

impl ShouldSample for Attaching {
    fn should_sample(
        &self,
        parent_context: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        span_kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let _attached = Context::new().attach();
        let on = Sampler::AlwaysOn;
        on.should_sample(parent_context, trace_id, name, span_kind, attributes, links)
    }
}

#[tokio::test(start_paused = true)]
async fn a_sampler_may_attach_a_context() {
    let (provider, exporter) = provider(Attaching);
    let cluster = cluster(&provider).await;
    hops(&cluster).on_region("hkg").hop(vec!["fra".into()]).await.unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    assert_eq!((spans.len(), traces(&spans)), (4, 1), "{spans:#?}");
}
