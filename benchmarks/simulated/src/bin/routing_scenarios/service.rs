//! The service that the scenarios call. The scenario sets how each node behaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc::{NodeBuilder, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};

#[fly_rpc]
pub(crate) trait Work {
    /// Takes as long as the node's behavior says.
    async fn once(&self);
    /// The same. No other call has this `id`.
    async fn counted(&self, id: u64);
    /// The same, and may be repeated.
    #[rpc(idempotent)]
    async fn repeatable(&self);
    /// Takes as long as the node's behavior says. A node serves ten of these calls at a time.
    #[rpc(max_in_flight = 10)]
    async fn limited(&self);
    /// Makes the same call in the first of `further` regions, and fails if that call fails. Takes `millis`
    /// milliseconds before that.
    #[rpc(max_in_flight = 64)]
    async fn chained(&self, millis: u64, further: Vec<String>) -> Result<(), String>;
    /// Never returns.
    async fn block(&self);
}

/// How a node executes a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Behavior {
    /// Takes this long.
    Takes(Duration),
    /// Takes up to this long, with equal probabilities.
    TakesUpTo(Duration),
    /// Panics at once.
    Panics,
}

/// The behaviors of the nodes by name, and what happened on them. Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct Nodes(Arc<Shared>);

#[derive(Default)]
struct Shared {
    behaviors: Mutex<BTreeMap<String, Behavior>>,
    random: Mutex<Random>,
    counted: Mutex<BTreeSet<u64>>,
    counted_twice: AtomicU64,
    started: AtomicU64,
    running: AtomicU64,
    blocks: AtomicU64,
}

impl Nodes {
    pub(crate) fn set(&self, node: &str, behavior: Behavior) {
        lock(&self.0.behaviors).insert(node.to_owned(), behavior);
    }

    /// The number of handlers that have started.
    pub(crate) fn started(&self) -> u64 {
        self.0.started.load(Ordering::Relaxed)
    }

    /// The number of executions of [`Work::counted`] after the first one of the same call.
    pub(crate) fn counted_twice(&self) -> u64 {
        self.0.counted_twice.load(Ordering::Relaxed)
    }

    /// The number of handlers that have started and not ended.
    pub(crate) fn running(&self) -> u64 {
        self.0.running.load(Ordering::Relaxed)
    }

    /// The number of calls of [`Work::chained`] that took some time.
    pub(crate) fn blocks(&self) -> u64 {
        self.0.blocks.load(Ordering::Relaxed)
    }

    /// A release that serves [`Work`] with these behaviors.
    pub(crate) fn release(&self) -> Release {
        let nodes = self.clone();
        Release::new().serve(move |at| {
            ServeWork::new(Worker { name: at.name().to_owned(), nodes: nodes.clone() })
        })
    }

    /// A cluster of a client in iad, called `iad-0`, and `count` nodes in hkg. The round trip takes 2 ms, so that the
    /// time of the handlers matters.
    pub(crate) async fn cluster(
        &self,
        count: usize,
        seed: u64,
        configure: impl Fn(NodeBuilder) -> NodeBuilder + Send + Sync + 'static,
    ) -> SimCluster {
        let release = self.release().configure(move |_, builder| configure(builder));
        let cluster = SimCluster::builder().announce(false).seed(seed).release(release);
        let cluster = cluster.region("iad", 1).region("hkg", count);
        let cluster = cluster.rtt("iad", "hkg", Duration::from_millis(2)).start().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        cluster
    }

    fn duration(&self, node: &str) -> Duration {
        let behavior = lock(&self.0.behaviors).get(node).copied();
        match behavior.unwrap_or(Behavior::Takes(Duration::ZERO)) {
            Behavior::Takes(duration) => duration,
            Behavior::TakesUpTo(most) => most.mul_f64(lock(&self.0.random).share()),
            // Unlike `panic!`, this prints no message.
            Behavior::Panics => std::panic::resume_unwind(Box::new("the node is broken")),
        }
    }
}

/// The service of one node.
struct Worker {
    name: String,
    nodes: Nodes,
}

/// Counts a handler as running until it is dropped.
struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    fn start(&self) -> Running<'_> {
        self.nodes.0.started.fetch_add(1, Ordering::Relaxed);
        self.nodes.0.running.fetch_add(1, Ordering::Relaxed);
        Running(&self.nodes.0)
    }

    async fn run(&self) {
        let _running = self.start();
        let duration = self.nodes.duration(&self.name);
        if !duration.is_zero() {
            tokio::time::sleep(duration).await;
        }
    }
}

impl Work for Worker {
    async fn once(&self) {
        self.run().await;
    }

    async fn counted(&self, id: u64) {
        let is_first = lock(&self.nodes.0.counted).insert(id);
        self.nodes.0.counted_twice.fetch_add(u64::from(!is_first), Ordering::Relaxed);
        self.run().await;
    }

    async fn repeatable(&self) {
        self.run().await;
    }

    async fn limited(&self) {
        self.run().await;
    }

    async fn chained(&self, millis: u64, mut further: Vec<String>) -> Result<(), String> {
        if millis > 0 {
            self.nodes.0.blocks.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        if further.is_empty() {
            return Ok(());
        }
        let next = further.remove(0);
        let work: WorkClient = flyrpc::context().client();
        work.on_region(next).chained(0, further).await.map_err(|error| error.to_string())?
    }

    async fn block(&self) {
        std::future::pending().await
    }
}

/// A small generator of random numbers (SplitMix64), so that equal seeds give equal figures.
#[derive(Debug, Default)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to below 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
