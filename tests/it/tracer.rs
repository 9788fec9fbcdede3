//! Spans that are made by a tracer of the application.

use std::{
    cell::Cell,
    sync::{Arc, Mutex},
};

use flyrpc::{
    ClientSpan, HandlerStart, NodeInfo, ServerSpan, SpanEnd, Spans, StartedCall, TraceContext,
    Tracer, fly_rpc,
};
use flyrpc_testkit::{Release, SimCluster};
use tokio::time::timeout;

use crate::support::{secs, sleep};

#[fly_rpc]
trait Work {
    /// Returns the number of the span that is current in the handler, after some time.
    #[rpc(idempotent)]
    async fn run(&self, seconds: u64) -> u8;
    /// Calls `run` in this region.
    async fn run_at(&self, region: String) -> u8;
    async fn panic(&self);
}

struct Worker;

impl Work for Worker {
    async fn run(&self, seconds: u64) -> u8 {
        sleep(secs(seconds)).await;
        CURRENT.get()
    }

    async fn run_at(&self, region: String) -> u8 {
        flyrpc::context().client::<WorkClient>().on_region(region).run(0).await.unwrap()
    }

    async fn panic(&self) {
        panic!("as the test decides");
    }
}

thread_local! {
    /// The number of the span that is entered.
    static CURRENT: Cell<u8> = const { Cell::new(0) };
}

/// Numbers all spans, and records what happens to them.
#[derive(Clone)]
struct Recording {
    records: Arc<Mutex<Records>>,
    is_sampled: bool,
}

#[derive(Default)]
struct Records {
    spans: u8,
    lines: Vec<String>,
}

impl Recording {
    fn new(is_sampled: bool) -> Self {
        Recording { records: Arc::default(), is_sampled }
    }

    /// Takes the lines that were recorded since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.records.lock().unwrap().lines)
    }

    fn add(&self, line: String) {
        self.records.lock().unwrap().lines.push(line);
    }

    fn next(&self) -> u8 {
        let mut records = self.records.lock().unwrap();
        records.spans += 1;
        records.spans
    }

    fn release(&self) -> Release {
        let tracer = self.clone();
        let release = Release::new().serve(|_| ServeWork::new(Worker));
        release.configure(move |_, builder| builder.spans(Spans::with_tracer(tracer.clone())))
    }
}

fn context(span: u8) -> Option<TraceContext> {
    TraceContext::new([9; 16], [span; 8], 1)
}

fn span_of(context: Option<&TraceContext>) -> u8 {
    context.map_or(0, |context| context.span_id()[0])
}

impl Tracer for Recording {
    fn start_call(&self, method: &'static str) -> StartedCall {
        let span = self.next();
        self.add(format!("{span}: {method} in {}", CURRENT.get()));
        let recorded = Numbered { of: self.clone(), span };
        let recorded = self.is_sampled.then(|| Box::new(recorded) as Box<dyn ClientSpan>);
        StartedCall { context: context(span), span: recorded }
    }

    fn start_handler(&self, start: &HandlerStart<'_>) -> Arc<dyn ServerSpan> {
        let HandlerStart { method, node, caller, parent, .. } = *start;
        let span = self.next();
        let (node, caller) = (node.name(), caller.name());
        self.add(format!("{span}: {method} on {node} for {caller} in {}", span_of(parent)));
        Arc::new(Numbered { of: self.clone(), span })
    }
}

struct Numbered {
    of: Recording,
    span: u8,
}

impl ClientSpan for Numbered {
    fn on_attempt(&mut self, attempt: u32, node: &NodeInfo, reason: Option<&'static str>) {
        let reason = reason.unwrap_or("-");
        self.of.add(format!("{}: attempt {attempt} on {}, {reason}", self.span, node.name()));
    }

    fn end(self: Box<Self>, end: SpanEnd, node: Option<&NodeInfo>) {
        let SpanEnd { status, is_failure, .. } = end;
        let node = node.map_or("no node", |node| node.name());
        self.of.add(format!("{}: {status}, {is_failure}, {node}", self.span));
    }
}

impl ServerSpan for Numbered {
    fn enter(&self, poll: &mut dyn FnMut()) {
        let before = CURRENT.replace(self.span);
        poll();
        CURRENT.set(before);
    }

    fn end(&self, end: SpanEnd) {
        self.of.add(format!("{}: {}, {}", self.span, end.status, end.is_failure));
    }
}

/// A node in iad, and two in hkg.
async fn cluster(release: Release) -> SimCluster {
    let cluster = SimCluster::builder().primary("iad").region("iad", 1).region("hkg", 2);
    cluster.release(release).start().await
}

#[tokio::test(start_paused = true)]
async fn a_tracer_sees_each_call_attempt_and_handler() {
    let tracer = Recording::new(true);
    let cluster = cluster(tracer.release()).await;
    let hkg = cluster.node("hkg-0");
    let to_hkg = cluster.node("iad-0").client::<WorkClient>().on_node(hkg.id());

    assert_eq!(to_hkg.run(0).await.unwrap(), 2);
    assert_eq!(
        tracer.take(),
        [
            "1: Work/run in 0",
            "1: attempt 1 on hkg-0, -",
            "2: Work/run on hkg-0 for iad-0 in 1",
            "2: OK, false",
            "1: OK, false, hkg-0",
        ]
    );
    // The call of the handler runs in process.
    assert_eq!(to_hkg.run_at("hkg".into()).await.unwrap(), 6);
    assert_eq!(
        tracer.take(),
        [
            "3: Work/run_at in 0",
            "3: attempt 1 on hkg-0, -",
            "4: Work/run_at on hkg-0 for iad-0 in 3",
            "5: Work/run in 4",
            "5: attempt 1 on hkg-0, -",
            "6: Work/run on hkg-0 for hkg-0 in 5",
            "6: OK, false",
            "5: OK, false, hkg-0",
            "4: OK, false",
            "3: OK, false, hkg-0",
        ]
    );
    to_hkg.panic().await.unwrap_err();
    assert_eq!(tracer.take()[3..], ["8: PANICKED, true", "7: PANICKED, true, hkg-0"]);
    timeout(secs(1), to_hkg.run(3)).await.unwrap_err();
    sleep(secs(1)).await;
    assert_eq!(tracer.take()[3..], ["9: CANCELLED, true, hkg-0", "10: CANCELLED, false"]);
    to_hkg.on_region("mars").run(0).await.unwrap_err();
    assert_eq!(tracer.take(), ["11: Work/run in 0", "11: NO_NODE, true, no node"]);
}

/// Makes a call whose first node crashes. Returns what was recorded.
async fn retried(tracer: &Recording) -> Vec<String> {
    let cluster = cluster(tracer.release()).await;
    let iad = cluster.node("iad-0");
    let call = tokio::spawn(iad.client::<WorkClient>().on_region("hkg").run(2));
    sleep(secs(1)).await;
    let lines = tracer.take();
    let first = if lines.iter().any(|line| line.contains("on hkg-0")) { "hkg-0" } else { "hkg-1" };
    cluster.crash(first);
    call.await.unwrap().unwrap();
    let (second, all) = (if first == "hkg-0" { "hkg-1" } else { "hkg-0" }, [lines, tracer.take()]);
    let renamed = |line: String| line.replace(first, "first").replace(second, "second");
    all.concat().into_iter().map(renamed).collect()
}

#[tokio::test(start_paused = true)]
async fn all_attempts_of_a_call_have_one_span() {
    let lines = retried(&Recording::new(true)).await;
    assert_eq!(
        lines,
        [
            "1: Work/run in 0",
            "1: attempt 1 on first, -",
            "2: Work/run on first for iad-0 in 1",
            "2: CANCELLED, false",
            "1: attempt 2 on second, DISCONNECTED",
            "3: Work/run on second for iad-0 in 1",
            "3: OK, false",
            "1: OK, false, second",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn all_attempts_of_a_call_that_is_not_sampled_send_its_context() {
    let lines = retried(&Recording::new(false)).await;
    assert_eq!(
        lines,
        [
            "1: Work/run in 0",
            "2: Work/run on first for iad-0 in 1",
            "2: CANCELLED, false",
            "3: Work/run on second for iad-0 in 1",
            "3: OK, false",
        ]
    );
}

/// Panics whenever it can.
struct Panicking;

impl Tracer for Panicking {
    fn start_call(&self, _: &'static str) -> StartedCall {
        panic!("as the test decides");
    }

    fn start_handler(&self, _: &HandlerStart<'_>) -> Arc<dyn ServerSpan> {
        panic!("as the test decides");
    }
}

/// Its spans panic. Those of handlers do not poll them, or panic afterward.
struct Faulty {
    polls: bool,
}

impl Tracer for Faulty {
    fn start_call(&self, _: &'static str) -> StartedCall {
        StartedCall { context: context(1), span: Some(Box::new(Faulty { polls: self.polls })) }
    }

    fn start_handler(&self, _: &HandlerStart<'_>) -> Arc<dyn ServerSpan> {
        Arc::new(Faulty { polls: self.polls })
    }
}

impl ClientSpan for Faulty {
    fn on_attempt(&mut self, _: u32, _: &NodeInfo, _: Option<&'static str>) {
        panic!("as the test decides");
    }

    fn end(self: Box<Self>, _: SpanEnd, _: Option<&NodeInfo>) {
        panic!("as the test decides");
    }
}

impl ServerSpan for Faulty {
    fn enter(&self, poll: &mut dyn FnMut()) {
        if self.polls {
            poll();
            poll();
            panic!("as the test decides");
        }
    }

    fn end(&self, _: SpanEnd) {
        panic!("as the test decides");
    }
}

#[tokio::test(start_paused = true)]
async fn a_faulty_tracer_affects_no_call() {
    let tracers: [fn() -> Spans; 3] = [
        || Spans::with_tracer(Panicking),
        || Spans::with_tracer(Faulty { polls: false }),
        || Spans::with_tracer(Faulty { polls: true }),
    ];
    for make in tracers {
        let release = Release::new().serve(|_| ServeWork::new(Worker));
        let cluster = cluster(release.configure(move |_, builder| builder.spans(make()))).await;
        let work = cluster.node("iad-0").client::<WorkClient>();
        for region in ["hkg", "iad"] {
            assert_eq!(work.on_region(region).run(1).await.unwrap(), 0);
            assert_eq!(work.on_region(region).run_at("hkg".into()).await.unwrap(), 0);
            work.on_region(region).panic().await.unwrap_err();
            timeout(secs(1), work.on_region(region).run(3)).await.unwrap_err();
        }
    }
}
