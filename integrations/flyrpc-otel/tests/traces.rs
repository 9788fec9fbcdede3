//! The traces of calls through three regions, as OpenTelemetry exports them.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use flyrpc::{Node, Spans, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use opentelemetry::{
    SpanId, Value,
    trace::{SpanKind, Status, TraceId, TracerProvider as _},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::{Instrument as _, info_span};
use tracing_subscriber::{Layer as _, filter::filter_fn, layer::SubscriberExt as _};

const CALLS: u64 = 1_000;

/// What happens to a call. Each call to the front makes one to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Succeeds,
    Fails,
    Panics,
    ExceedsItsDeadline,
    IsDropped,
    FindsNoNode,
    IsRetried,
    RunsInProcess,
}

impl Kind {
    const ALL: [Kind; 8] = [
        Kind::Succeeds,
        Kind::Fails,
        Kind::Panics,
        Kind::ExceedsItsDeadline,
        Kind::IsDropped,
        Kind::FindsNoNode,
        Kind::IsRetried,
        Kind::RunsInProcess,
    ];

    /// The names, kinds and statuses of the spans of its trace, from the root on.
    fn spans(self) -> Vec<(&'static str, &'static str)> {
        let front = |status| [("client Front/handle", status), ("server Front/handle", status)];
        let both = |method, client, server| [(method, client), (method, server)];
        let (outer, inner) = match self {
            Kind::Succeeds => (front("OK"), both("Db/save", "OK", "OK").to_vec()),
            Kind::Fails => (front("ERR"), both("Db/save", "ERR", "ERR").to_vec()),
            Kind::Panics => (front("ERR"), both("Db/save", "PANICKED", "PANICKED").to_vec()),
            Kind::ExceedsItsDeadline => {
                (front("ERR"), both("Db/save", "TIMEOUT", "TIMEOUT").to_vec())
            }
            Kind::IsDropped => {
                (front("CANCELLED"), both("Db/save", "CANCELLED", "CANCELLED").to_vec())
            }
            Kind::FindsNoNode => (front("ERR"), vec![("Db/save", "NO_NODE")]),
            Kind::IsRetried => (front("OK"), both("Db/exclusive", "OK", "OK").to_vec()),
            Kind::RunsInProcess => (front("OK"), both("Audit/note", "OK", "OK").to_vec()),
        };
        let inner = inner.into_iter().zip(["client", "server"]).map(|((method, status), kind)| {
            let name = match (kind, method) {
                ("client", "Db/save") => "client Db/save",
                ("server", "Db/save") => "server Db/save",
                ("client", "Db/exclusive") => "client Db/exclusive",
                ("server", "Db/exclusive") => "server Db/exclusive",
                ("client", _) => "client Audit/note",
                _ => "server Audit/note",
            };
            (name, status)
        });
        outer.into_iter().chain(inner).collect()
    }
}

#[fly_rpc]
trait Front {
    async fn handle(&self, kind: u8) -> Result<(), String>;
}

#[fly_rpc]
trait Db {
    async fn save(&self, kind: u8) -> Result<(), String>;
    #[rpc(max_in_flight = 1)]
    async fn exclusive(&self, millis: u64);
    async fn stay(&self);
}

#[fly_rpc]
trait Audit {
    async fn note(&self);
}

struct Service;

impl Front for Service {
    async fn handle(&self, kind: u8) -> Result<(), String> {
        let db: DbClient = flyrpc::context().client();
        let db = db.on_primary();
        let text = |error: flyrpc::RpcError| error.to_string();
        match Kind::ALL[usize::from(kind)] {
            Kind::ExceedsItsDeadline => {
                db.timeout(Duration::from_millis(500)).save(kind).await.map_err(text)?
            }
            Kind::FindsNoNode => db.on_region("mars").save(kind).await.map_err(text)?,
            Kind::IsRetried => db.exclusive(1).await.map_err(text),
            Kind::RunsInProcess => {
                flyrpc::context().client::<AuditClient>().note().await.map_err(text)
            }
            _ => db.save(kind).await.map_err(text)?,
        }
    }
}

impl Db for Service {
    async fn save(&self, kind: u8) -> Result<(), String> {
        match Kind::ALL[usize::from(kind)] {
            Kind::Fails => Err("as the test decides".to_owned()),
            Kind::Panics => panic!("as the test decides"),
            Kind::ExceedsItsDeadline | Kind::IsDropped => {
                sleep(Duration::from_secs(10)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn exclusive(&self, millis: u64) {
        sleep(Duration::from_millis(millis)).await;
    }

    async fn stay(&self) {
        std::future::pending().await
    }
}

impl Audit for Service {
    async fn note(&self) {}
}

/// How the spans of calls are made.
type MakeSpans = fn(&SdkTracerProvider) -> Spans;

/// Exports the spans of calls and of the test, and nothing else.
struct Exported {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
    make: MakeSpans,
    _set: tracing::subscriber::DefaultGuard,
}

impl Exported {
    fn new(make: MakeSpans) -> Self {
        Exported::with_sampler(make, Sampler::AlwaysOn)
    }

    /// `root` decides which traces are sampled.
    fn with_sampler(make: MakeSpans, root: Sampler) -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(root)))
            .with_simple_exporter(exporter.clone())
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("test"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_level(false)
            .with_filter(filter_fn(|metadata| {
                metadata.target() == "flyrpc::call" || metadata.target() == "traces"
            }));
        let set = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        Exported { exporter, provider, make, _set: set }
    }

    fn release(&self) -> Release {
        let (provider, make) = (self.provider.clone(), self.make);
        Release::new().configure(move |_, builder| builder.spans(make(&provider)))
    }

    fn spans(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }
}

/// A cluster of the web server in syd, the front in hkg, and the databases in iad, which is the primary region.
async fn cluster(exported: &Exported) -> SimCluster {
    let front = exported.release().serve(|_| ServeFront::new(Service));
    let front = front.serve(|_| ServeAudit::new(Service));
    let db = || exported.release().serve(|_| ServeDb::new(Service));
    SimCluster::builder()
        .primary("iad")
        .region("syd", 1)
        .region("hkg", 1)
        .region("iad", 2)
        .node("syd-0", exported.release())
        .node("hkg-0", front)
        .node("iad-0", db())
        .node("iad-1", db())
        .start()
        .await
}

/// Makes one call in a root span of its own.
async fn request(web: &Node, kind: Kind) {
    let front = web.client::<FrontClient>().on_region("hkg");
    let call = front.handle(kind as u8);
    let root = info_span!("request");
    match kind {
        Kind::IsDropped => {
            timeout(Duration::from_secs(2), call.instrument(root)).await.unwrap_err();
        }
        _ => {
            let result = call.instrument(root).await.unwrap();
            let fails = matches!(
                kind,
                Kind::Fails | Kind::Panics | Kind::ExceedsItsDeadline | Kind::FindsNoNode
            );
            assert_eq!(result.is_err(), fails, "{kind:?}: {result:?}");
        }
    }
}

fn text(span: &SpanData, name: &str) -> Option<String> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key.as_str() == name)?;
    Some(match &attribute.value {
        Value::String(text) => text.as_str().to_owned(),
        other => other.to_string(),
    })
}

fn name(span: &SpanData) -> String {
    let kind = match span.span_kind {
        SpanKind::Client => "client",
        SpanKind::Server => "server",
        _ => return span.name.to_string(),
    };
    format!("{kind} {}", span.name)
}

/// Checks that the spans of a trace are a chain, and that they have the names and statuses of `kind`.
fn check_trace(spans: &[&SpanData], kind: Kind) {
    let mut parent = SpanId::INVALID;
    let mut expected = kind.spans().into_iter();
    for at in 0..spans.len() {
        let mut children = spans.iter().filter(|span| span.parent_span_id == parent);
        let span =
            children.next().unwrap_or_else(|| panic!("{kind:?}: no child at {at}: {spans:#?}"));
        assert!(children.next().is_none(), "{kind:?}: two children at {at}: {spans:#?}");
        parent = span.span_context.span_id();
        if at == 0 {
            assert_eq!(name(span), "request");
            continue;
        }
        let (expected, status) = expected.next().unwrap_or_else(|| panic!("{kind:?}: {spans:#?}"));
        assert_eq!(
            (name(span).as_str(), text(span, "rpc.status_code").as_deref()),
            (expected, Some(status)),
            "{kind:?}"
        );
        check_attributes(span, status);
    }
    assert_eq!(expected.next(), None, "{kind:?}: {spans:#?}");
}

/// Checks the attributes of one span against the conventions.
fn check_attributes(span: &SpanData, status: &str) {
    let keys: BTreeSet<_> =
        span.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    let has_node = status != "NO_NODE";
    let is_client = span.span_kind == SpanKind::Client;
    let fails = !matches!(status, "OK" | "ERR") && (is_client || status != "CANCELLED");
    let mut golden = BTreeSet::from(["rpc.method", "rpc.status_code", "rpc.system.name"]);
    golden.extend(
        has_node
            .then_some(["network.peer.address", "network.peer.port", "server.address"])
            .into_iter()
            .flatten(),
    );
    golden.extend(fails.then_some("error.type"));
    assert_eq!(keys, golden, "{span:#?}");
    assert_eq!(text(span, "rpc.system.name").as_deref(), Some("flyrpc"));
    assert_eq!(text(span, "rpc.method").as_deref(), Some(&*span.name));
    assert_eq!(text(span, "error.type").as_deref(), fails.then_some(status));
    assert_eq!(matches!(span.status, Status::Error { .. }), fails, "{span:#?}");
    let region = if span.name.starts_with("Db/") { "iad" } else { "hkg" };
    assert_eq!(text(span, "server.address").as_deref(), has_node.then_some(region));
}

#[tokio::test(start_paused = true)]
async fn each_call_has_one_trace_through_all_regions() {
    check_traces(flyrpc_otel::spans).await;
}

#[tokio::test(start_paused = true)]
async fn each_call_has_one_trace_through_all_regions_with_tracing() {
    check_traces(flyrpc_otel::propagate).await;
}

async fn check_traces(make: MakeSpans) {
    let exported = Exported::new(make);
    let cluster = cluster(&exported).await;
    let (web, hkg) = (cluster.node("syd-0"), cluster.node("hkg-0"));
    // The database that refuses exclusive calls, because it executes one, has less load than the other one.
    let db = |name| {
        let long = Duration::from_secs(1 << 20);
        hkg.client::<DbClient>().on_node(cluster.node(name).id()).timeout(long)
    };
    let mut blockers = vec![tokio::spawn(db("iad-0").exclusive(u64::MAX >> 20))];
    blockers.extend((0..5).map(|_| tokio::spawn(db("iad-1").stay())));
    sleep(Duration::from_secs(1)).await;
    for call in 0..CALLS {
        let kind = Kind::ALL[(call % 8) as usize];
        request(&web, kind).await;
    }
    blockers.iter().for_each(JoinHandle::abort);
    sleep(Duration::from_secs(30)).await;
    let all = exported.spans();
    let mut traces: HashMap<TraceId, Vec<&SpanData>> = HashMap::new();
    for span in &all {
        traces.entry(span.span_context.trace_id()).or_default().push(span);
    }
    let requests = traces.values().filter(|spans| spans.iter().any(|span| span.name == "request"));
    let mut requests: Vec<_> = requests.collect();
    requests.sort_by_key(|spans| spans.iter().map(|span| span.start_time).min());
    assert_eq!(requests.len() as u64, CALLS);
    assert_eq!(traces.len() as u64, CALLS + 6, "of all calls and those of the test itself");
    for (call, spans) in requests.iter().enumerate() {
        check_trace(spans, Kind::ALL[call % 8]);
    }
    let attempts = |span: &SpanData| {
        span.events.iter().filter(|event| event.name == "call attempt started").count()
    };
    let retried = all.iter().filter(|span| attempts(span) == 2).count();
    // Then the node that refuses is ejected most of the time.
    assert!(retried > 10, "{retried} calls were retried");
}

#[tokio::test(start_paused = true)]
async fn a_node_without_spans_ignores_the_context() {
    check_node_without_spans(flyrpc_otel::spans).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_without_spans_ignores_the_context_with_tracing() {
    check_node_without_spans(flyrpc_otel::propagate).await;
}

async fn check_node_without_spans(make: MakeSpans) {
    let exported = Exported::new(make);
    let front = Release::new().serve(|_| ServeFront::new(Service));
    let db = exported.release().serve(|_| ServeDb::new(Service));
    let cluster = SimCluster::builder().primary("iad").region("syd", 1).region("hkg", 1);
    let cluster = cluster.region("iad", 1).node("syd-0", exported.release()).node("hkg-0", front);
    let cluster = cluster.node("iad-0", db).start().await;
    request(&cluster.node("syd-0"), Kind::Succeeds).await;
    let spans = exported.spans();
    let named = |wanted: &str| spans.iter().find(|span| name(span) == wanted).unwrap();
    let (root, call, handler) =
        (named("request"), named("client Front/handle"), named("server Db/save"));
    assert_eq!(spans.len(), 3, "{spans:#?}");
    assert_eq!(call.parent_span_id, root.span_context.span_id());
    assert_eq!(handler.parent_span_id, SpanId::INVALID);
}

/// Makes ten requests, and returns the lengths of the chains of spans that they have made since the last time.
async fn chains(exported: &Exported, web: &Node) -> BTreeSet<usize> {
    exported.exporter.reset();
    for _ in 0..10 {
        request(web, Kind::Succeeds).await;
    }
    sleep(Duration::from_secs(1)).await;
    let spans = exported.spans();
    let roots = spans.iter().filter(|span| span.name == "request");
    roots.map(|root| chain_length(&spans, root)).collect()
}

/// The number of spans from `span` on, each the parent of the next.
fn chain_length(spans: &[SpanData], span: &SpanData) -> usize {
    let is_child = |child: &&SpanData| child.parent_span_id == span.span_context.span_id();
    1 + spans.iter().find(is_child).map_or(0, |child| chain_length(spans, child))
}

#[tokio::test(start_paused = true)]
async fn in_a_rollout_no_call_fails_and_traces_continue_where_both_nodes_make_spans() {
    check_rollout(flyrpc_otel::spans).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_rollout_no_call_fails_and_traces_continue_where_both_nodes_make_spans_with_tracing() {
    check_rollout(flyrpc_otel::propagate).await;
}

async fn check_rollout(make: MakeSpans) {
    let exported = Exported::new(make);
    let serving = |release: Release| {
        release.serve(|_| ServeFront::new(Service)).serve(|_| ServeDb::new(Service))
    };
    let plain = || serving(Release::new());
    let traced = || serving(exported.release());
    let cluster = SimCluster::builder().primary("iad").region("syd", 1).region("hkg", 2);
    let cluster = cluster.region("iad", 2).node("syd-0", exported.release()).release(plain());
    let cluster = cluster.start().await;
    let web = cluster.node("syd-0");
    let load = async |replaced: &str, release: Release| {
        let mut replacing = Box::pin(cluster.replace(replaced, release));
        loop {
            // A request that fails panics.
            tokio::select! {
                biased;
                () = &mut replacing => break,
                () = request(&web, Kind::Succeeds) => {}
            }
        }
    };
    let (fronts, databases) = (["hkg-0", "hkg-1"], ["iad-0", "iad-1"]);
    // The root, and the call of the front.
    assert_eq!(chains(&exported, &web).await, [2].into());
    load(fronts[0], traced()).await;
    // Also the handler of the new front, and its call of a database.
    assert_eq!(chains(&exported, &web).await, [2, 4].into());
    load(fronts[1], traced()).await;
    load(databases[0], traced()).await;
    assert_eq!(chains(&exported, &web).await, [4, 5].into());
    load(databases[1], traced()).await;
    assert_eq!(chains(&exported, &web).await, [5].into());
    for name in fronts.into_iter().chain(databases) {
        load(name, plain()).await;
    }
    assert_eq!(chains(&exported, &web).await, [2].into());
}

#[tokio::test(start_paused = true)]
async fn all_nodes_follow_the_decision_of_the_root() {
    let off = Exported::with_sampler(flyrpc_otel::spans, Sampler::AlwaysOff);
    let on = Exported::new(flyrpc_otel::spans);
    let cluster = SimCluster::builder().primary("iad").region("syd", 1).region("hkg", 1);
    let front = on.release().serve(|_| ServeFront::new(Service));
    let front = front.serve(|_| ServeAudit::new(Service));
    let db = on.release().serve(|_| ServeDb::new(Service));
    let cluster = cluster.region("iad", 1).node("syd-0", off.release()).node("hkg-0", front);
    let cluster = cluster.node("iad-0", db).start().await;
    for kind in [Kind::Succeeds, Kind::Panics, Kind::FindsNoNode, Kind::RunsInProcess] {
        let front = cluster.node("syd-0").client::<FrontClient>().on_region("hkg");
        let _result = front.handle(kind as u8).await.unwrap();
        assert_eq!((off.spans().len(), on.spans().len()), (0, 0), "{kind:?}");
    }
    let db = cluster.node("hkg-0").client::<DbClient>().on_region("iad");
    db.save(Kind::Succeeds as u8).await.unwrap().unwrap();
    assert_eq!((off.spans().len(), on.spans().len()), (0, 2));
}

#[fly_rpc]
trait Nested {
    /// Makes a span, and spawns a task that calls the database.
    async fn run(&self);
}

impl Nested for Service {
    async fn run(&self) {
        async { tokio::task::yield_now().await }.instrument(info_span!("in the handler")).await;
        let db: DbClient = flyrpc::context().client();
        let task = flyrpc::spawn(async move { db.on_primary().save(Kind::Succeeds as u8).await });
        task.await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn spans_and_tasks_of_a_handler_are_children_of_its_span() {
    for make in [flyrpc_otel::spans as MakeSpans, flyrpc_otel::propagate] {
        let exported = Exported::new(make);
        let db = exported.release().serve(|_| ServeDb::new(Service));
        let hkg = exported.release().serve(|_| ServeNested::new(Service));
        let cluster = SimCluster::builder().primary("iad").region("hkg", 1).region("iad", 1);
        let cluster = cluster.node("hkg-0", hkg).node("iad-0", db).start().await;
        cluster.node("iad-0").client::<NestedClient>().on_region("hkg").run().await.unwrap();
        cluster.node("hkg-0").client::<NestedClient>().run().await.unwrap();
        let spans = exported.spans();
        let handlers = spans.iter().filter(|span| name(span) == "server Nested/run");
        let handlers: Vec<_> = handlers.collect();
        assert_eq!(handlers.len(), 2);
        for handler in handlers {
            let is_child = |span: &&SpanData| span.parent_span_id == handler.span_context.span_id();
            let children: BTreeSet<_> = spans.iter().filter(is_child).map(name).collect();
            assert_eq!(children, ["client Db/save", "in the handler"].map(String::from).into());
        }
    }
}
