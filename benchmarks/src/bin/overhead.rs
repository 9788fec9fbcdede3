//! What telemetry adds to a call: `Metrics` with a Prometheus recorder, and spans with a sampler that takes no trace or
//! all, made with OpenTelemetry directly or through `tracing`. Two nodes and 64 callers share one thread, so that a figure
//! contains both sides of a call. The variants take turns, and each figure is the median of the differences to the plain
//! variant of the same turn.

use std::{
    ops::Sub,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use flyrpc::{Metrics, Node, NodeBuilder};
use flyrpc_examples::text::{ServeText, TextClient, TextService};
use futures_util::future::join_all;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Runtime;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

const CALLERS: usize = 64;
const CALLS_PER_CALLER: usize = 200;
const TURNS: usize = 31;

/// The buckets that the conventions advise, in seconds.
const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Plain,
    Metrics,
    /// Only at the node that makes the calls.
    ClientMetrics,
    /// Only at the node that serves them.
    ServerMetrics,
    SpansNotSampled,
    SpansSampled,
    TracingNotSampled,
    TracingSampled,
}

impl Variant {
    const ALL: [Variant; 8] = [
        Variant::Plain,
        Variant::Metrics,
        Variant::ClientMetrics,
        Variant::ServerMetrics,
        Variant::SpansNotSampled,
        Variant::SpansSampled,
        Variant::TracingNotSampled,
        Variant::TracingSampled,
    ];

    fn name(self) -> &'static str {
        match self {
            Variant::Plain => "plain",
            Variant::Metrics => "metrics",
            Variant::ClientMetrics => "metrics-client",
            Variant::ServerMetrics => "metrics-server",
            Variant::SpansNotSampled => "spans-sampled-0",
            Variant::SpansSampled => "spans-sampled-1",
            Variant::TracingNotSampled => "tracing-sampled-0",
            Variant::TracingSampled => "tracing-sampled-1",
        }
    }
}

/// Two nodes with one variant of telemetry, and the runtime in which they live.
struct Pair {
    runtime: Runtime,
    callers: Vec<TextClient>,
    _nodes: [Node; 2],
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    exporter: InMemorySpanExporter,
    dispatch: tracing::Dispatch,
}

/// The cost of a call.
#[derive(Debug, Clone, Copy)]
struct Cost {
    nanoseconds: f64,
    allocations: f64,
}

impl Sub for Cost {
    type Output = Cost;

    fn sub(self, other: Cost) -> Cost {
        Cost {
            nanoseconds: self.nanoseconds - other.nanoseconds,
            allocations: self.allocations - other.allocations,
        }
    }
}

impl Pair {
    fn new(variant: Variant) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder();
        let handle = recorder.handle();
        let exporter = InMemorySpanExporter::default();
        let sampler = match variant {
            Variant::SpansSampled | Variant::TracingSampled => Sampler::TraceIdRatioBased(1.0),
            _ => Sampler::TraceIdRatioBased(0.0),
        };
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_simple_exporter(exporter.clone())
            .build();
        let uses_tracing = matches!(variant, Variant::TracingNotSampled | Variant::TracingSampled);
        let dispatch = if uses_tracing {
            // As the README of `flyrpc-otel` recommends.
            let layer = tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("overhead"))
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false);
            let filter = Targets::new().with_target("flyrpc::call", tracing::Level::INFO);
            tracing_subscriber::registry().with(filter).with(layer).into()
        } else {
            tracing::Dispatch::none()
        };
        let configure = |builder: NodeBuilder, is_client: bool| match variant {
            Variant::Plain => builder,
            Variant::ClientMetrics if !is_client => builder,
            Variant::ServerMetrics if is_client => builder,
            Variant::Metrics | Variant::ClientMetrics | Variant::ServerMetrics => {
                builder.observer(Metrics::new())
            }
            Variant::SpansNotSampled | Variant::SpansSampled => {
                builder.spans(flyrpc_otel::spans(&provider))
            }
            Variant::TracingNotSampled | Variant::TracingSampled => {
                builder.spans(flyrpc_otel::propagate(&provider))
            }
        };
        let start = async {
            let serving = configure(Node::builder().name("b").region("hkg"), false);
            let serving = serving.serve(ServeText::new(TextService::default())).start().await?;
            let calling = configure(Node::builder().name("a").region("iad"), true);
            let calling = calling.seeds([serving.addr()]).start().await?;
            calling.ready().await;
            let text = calling.client::<TextClient>().on_region("hkg");
            text.wait(Duration::from_secs(5)).upcase("fly".into()).await?;
            anyhow::Ok(([serving, calling], vec![text; CALLERS]))
        };
        // Each metric keeps the recorder with which it was registered.
        let (nodes, callers) = metrics::with_local_recorder(&recorder, || runtime.block_on(start))?;
        let pair = Pair { runtime, callers, _nodes: nodes, recorder, handle, exporter, dispatch };
        // Warms up, and registers all metrics.
        pair.turn();
        Ok(pair)
    }

    async fn calls(&self, per_caller: usize) {
        join_all(self.callers.iter().map(|text| async move {
            for _ in 0..per_caller {
                text.upcase("fly".into()).await.expect("the node serves this");
            }
        }))
        .await;
    }

    /// Makes calls, and returns the cost of one.
    fn turn(&self) -> Cost {
        let calls = self.calls(CALLS_PER_CALLER);
        let run = || {
            let (region, start) = (Region::new(ALLOCATOR), Instant::now());
            self.runtime.block_on(calls);
            (start.elapsed(), region.change().allocations)
        };
        // The turn before may have filled the caches with other code.
        self.runtime.block_on(self.calls(CALLS_PER_CALLER / 10));
        let (took, allocations) = tracing::dispatcher::with_default(&self.dispatch, || {
            metrics::with_local_recorder(&self.recorder, run)
        });
        self.exporter.reset();
        self.handle.run_upkeep();
        let count = (CALLERS * CALLS_PER_CALLER) as f64;
        Cost {
            nanoseconds: took.as_nanos() as f64 / count,
            allocations: allocations as f64 / count,
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> anyhow::Result<()> {
    if let Some(only) = std::env::args().nth(1) {
        let variant = Variant::ALL.into_iter().find(|variant| variant.name() == only);
        let pair = Pair::new(variant.context("the argument is a variant")?)?;
        for _ in 0..TURNS {
            pair.turn();
        }
        return Ok(());
    }
    let pairs: Vec<_> = Variant::ALL.into_iter().map(Pair::new).collect::<Result<_, _>>()?;
    let [plain, others @ ..] = &pairs[..] else { unreachable!("there are eight variants") };
    let turns: Vec<Vec<[Cost; 2]>> = (0..TURNS)
        .map(|_| others.iter().map(|other| [plain.turn(), other.turn()]).collect())
        .collect();
    show("plain", turns.iter().flatten().map(|[plain, _]| *plain).collect());
    for (at, variant) in Variant::ALL[1..].iter().enumerate() {
        show(variant.name(), turns.iter().map(|turn| turn[at][1] - turn[at][0]).collect());
    }
    Ok(())
}

fn show(name: &str, costs: Vec<Cost>) {
    let time = median(costs.iter().map(|cost| cost.nanoseconds).collect());
    let allocations = median(costs.iter().map(|cost| cost.allocations).collect());
    println!("figure overhead-{name}-time {time:.0} ns");
    println!("figure overhead-{name}-allocations {allocations:.2}");
}
