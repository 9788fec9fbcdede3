//! A small service and a simulated cluster that serves it, for the tests of this package.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc::{Context, Event, Node, NodeBuilder, Peer, fly_rpc};
use flyrpc_testkit::{SimEnv, SimNet};
use tracing::field::{Field, Visit};

/// The port of every simulated node.
pub(crate) const PORT: u16 = 3590;

/// One method for each thing that a call can do.
#[fly_rpc]
pub(crate) trait Probe {
    /// Upper-cases `text`, and says where.
    async fn shout(&self, text: String) -> (String, String);
    /// Takes so many milliseconds.
    async fn slow(&self, millis: u64) -> u64;
    /// Takes so many milliseconds.
    #[rpc(idempotent)]
    async fn slow_but_repeatable(&self, millis: u64) -> u64;
    /// Goes on without its caller.
    #[rpc(detached)]
    async fn slow_and_detached(&self, millis: u64) -> u64;
    /// Panics with `message`.
    async fn panic(&self, message: String);
    /// Returns its argument.
    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8>;
    /// Returns so many bytes.
    async fn produce(&self, size: usize) -> Vec<u8>;
    /// Runs on the primary only.
    #[rpc(primary)]
    async fn write(&self, value: u64) -> String;
    /// What the handler sees of its call.
    async fn context(&self) -> Seen;
    /// Fails in its own way.
    async fn fail(&self) -> Result<u8, String>;
}

/// What a handler saw of its call.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Seen {
    pub(crate) caller: String,
    pub(crate) region: String,
    pub(crate) remaining: Duration,
    pub(crate) attempt: u32,
    pub(crate) local: bool,
}

impl From<Context> for Seen {
    fn from(context: Context) -> Self {
        Seen {
            caller: context.caller().name().to_owned(),
            region: context.caller_region().to_string(),
            remaining: context.remaining(),
            attempt: context.attempt(),
            local: context.is_local(),
        }
    }
}

/// How often handlers began and ended.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) begun: AtomicU64,
    pub(crate) ended: AtomicU64,
}

impl Counts {
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }
}

/// The service of the node `name`.
pub(crate) struct Prober {
    pub(crate) name: String,
    pub(crate) counts: Arc<Counts>,
}

impl Prober {
    async fn work(&self, millis: u64) -> u64 {
        self.counts.begun.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.counts.ended.fetch_add(1, Ordering::SeqCst);
        millis
    }
}

impl Probe for Prober {
    async fn shout(&self, text: String) -> (String, String) {
        self.counts.begun.fetch_add(1, Ordering::SeqCst);
        (text.to_uppercase(), self.name.clone())
    }

    async fn slow(&self, millis: u64) -> u64 {
        self.work(millis).await
    }

    async fn slow_but_repeatable(&self, millis: u64) -> u64 {
        self.work(millis).await
    }

    async fn slow_and_detached(&self, millis: u64) -> u64 {
        self.work(millis).await
    }

    async fn panic(&self, message: String) {
        panic!("{message}");
    }

    async fn echo(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    async fn produce(&self, size: usize) -> Vec<u8> {
        vec![7; size]
    }

    async fn write(&self, value: u64) -> String {
        self.counts.begun.fetch_add(1, Ordering::SeqCst);
        format!("{value} on {}", self.name)
    }

    async fn context(&self) -> Seen {
        flyrpc::context().into()
    }

    async fn fail(&self) -> Result<u8, String> {
        Err("no".to_owned())
    }
}

/// A simulated network with a seed host, whose nodes are in the cluster `local`, primary in iad.
pub(crate) struct World {
    pub(crate) net: SimNet,
    pub(crate) counts: Arc<Counts>,
    seeds: Vec<SocketAddr>,
}

impl World {
    /// An empty world. The first two nodes that are added are the seeds of all.
    pub(crate) fn new() -> Self {
        World::seeded(7)
    }

    /// An empty world whose randomness comes from `seed`.
    pub(crate) fn seeded(seed: u64) -> Self {
        World::on(SimNet::builder().seed(seed).build())
    }

    /// An empty world on a network that exists.
    pub(crate) fn on(net: SimNet) -> Self {
        World { net, counts: Arc::default(), seeds: Vec::new() }
    }

    /// A host called `name` in `region`, and a node on it that serves nothing yet.
    pub(crate) fn builder(&mut self, name: &str, region: &str) -> (SimEnv, NodeBuilder) {
        let env = self.net.add_host(name, region);
        let builder = self.builder_on(&env, name, region);
        self.seeds.push(env.addr(PORT));
        (env, builder)
    }

    /// A node on a host that exists.
    pub(crate) fn builder_on(&self, env: &SimEnv, name: &str, region: &str) -> NodeBuilder {
        Node::builder()
            .env(env.clone())
            .name(name)
            .region(region)
            .primary_region("iad")
            .listen(env.addr(PORT))
            .seeds(self.seeds.iter().take(2))
    }

    /// The service of a node.
    pub(crate) fn prober(&self, name: &str) -> ServeProbe<Prober> {
        ServeProbe::new(Prober { name: name.to_owned(), counts: Arc::clone(&self.counts) })
    }

    /// Starts a node that serves [`Probe`], and waits until it is ready.
    pub(crate) async fn start(&mut self, name: &str, region: &str) -> Node {
        let (_, builder) = self.builder(name, region);
        let node = builder.serve(self.prober(name)).start().await.unwrap();
        node.ready().await;
        node
    }

    /// Starts a crashed or stopped node again, on the same address.
    pub(crate) async fn restart(&self, name: &str, region: &str) -> Node {
        let env = self.net.restart(name);
        let builder = self.builder_on(&env, name, region);
        builder.serve(self.prober(name)).start().await.unwrap()
    }
}

/// What a node's events said, each as a short text such as `up iad-0`.
#[derive(Clone)]
pub(crate) struct EventLog(Arc<Mutex<Vec<String>>>);

impl EventLog {
    pub(crate) fn of(node: &Node) -> Self {
        let log = EventLog(Arc::default());
        let (mut events, to) = (node.events(), Arc::clone(&log.0));
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                to.lock().unwrap().push(match event {
                    Event::Up(node) => format!("up {}", node.name()),
                    Event::Down(node) => format!("down {}", node.name()),
                    Event::Left(node) => format!("left {}", node.name()),
                    Event::SupportChanged { node: Some(node), support, .. } => {
                        format!("support {}: {support}", node.name())
                    }
                    Event::SupportChanged { addr, support, .. } => format!("at {addr}: {support}"),
                    Event::PrimaryDisagreement { node, theirs, ours } => {
                        format!("primary of {}: {theirs} not {ours}", node.name())
                    }
                    other => format!("{other:?}"),
                });
            }
        });
        log
    }

    /// All of them so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Who came and went so far.
    pub(crate) fn nodes(&self) -> Vec<String> {
        let of = ["up ", "down ", "left "];
        self.all().into_iter().filter(|event| of.iter().any(|of| event.starts_with(of))).collect()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

/// Collects what is logged on this thread, as lines such as `message=node linked node=… `.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    level: tracing::Level,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    /// Collects what is logged at this level and above until the guard is dropped.
    pub(crate) fn collect(level: tracing::Level) -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Log { level, lines: Arc::default() };
        let guard = tracing::subscriber::set_default(log.clone());
        (log, guard)
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The lines so far that contain all of these.
    pub(crate) fn with(&self, parts: &[&str]) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|line| parts.iter().all(|part| line.contains(part)));
        lines
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{}={value:?} ", field.name());
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        self.lines.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// The names of the live nodes of a region, as `node` sees them.
pub(crate) fn names(node: &Node, region: &str) -> Vec<String> {
    node.nodes_in(region).iter().map(|node| node.name().to_owned()).collect()
}

/// What `node` knows of the one called `name`.
pub(crate) fn peer(node: &Node, name: &str) -> Peer {
    let peers = node.peers();
    let named = |peer: &&Peer| peer.node.as_ref().is_some_and(|node| node.name() == name);
    peers.iter().find(named).unwrap_or_else(|| panic!("no {name} in {peers:?}")).clone()
}

pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Waits until `condition` holds, as the events of `node` come in.
pub(crate) async fn until(node: &Node, mut condition: impl FnMut() -> bool) {
    let mut events = node.events();
    while !condition() {
        events.next().await.expect("the node runs");
    }
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
