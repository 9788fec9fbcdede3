//! The state that all parts of a running node share.
//!
//! Calls read it without waiting. Only the [cluster task](crate::runtime::cluster) changes the view
//! of the cluster; other parts send it [`Command`]s.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::Guard;
use tokio::{
    runtime::Handle as RuntimeHandle,
    sync::{broadcast, mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    command::Command, counters::Counters, peer_key::PeerKey, peer_snapshot::PeerSnapshot,
    published::Published, turns::Turns, visitors::Visitors,
};
use crate::{
    env::Env,
    error::NodeFailure,
    proto::{routing::Table, wire::state::State},
    runtime::{
        link::{Link, RegionCalls},
        server::Server,
    },
    service::INTERNAL_SERVICE,
    telemetry::{CallStatus, Observed, Observers},
    types::{Event, NodeInfo, Region, RegionStats},
};

/// How many events a slow listener may fall behind before it loses events.
const EVENT_CAPACITY: usize = 1024;

/// If at least this many regions are stored, regions without a link are forgotten. Peers choose the
/// names of regions.
const MAX_IDLE_REGIONS: usize = 256;

/// The state that all parts of a running node share.
pub(crate) struct NodeShared {
    env: Arc<dyn Env>,
    /// When the node was started.
    epoch: Instant,
    /// The runtime in which the node was started.
    runtime: RuntimeHandle,
    me: NodeInfo,
    config: SharedConfig,
    /// The number of calls reported to the observer.
    observed_calls: AtomicU64,
    server: Arc<Server>,
    published: Published,
    events: broadcast::Sender<Event>,
    commands: mpsc::UnboundedSender<Command>,
    /// The calls to each region and the budgets for their retries.
    region_calls: Mutex<BTreeMap<Region, Arc<RegionCalls>>>,
    turns: Arc<Turns>,
    counters: Arc<Counters>,
    visitors: Visitors,
    shut_down: AtomicBool,
    /// The span of the log lines of this node's tasks.
    span: tracing::Span,
    /// Set before `stop` is canceled, if a task of the node failed.
    failure: OnceLock<NodeFailure>,
    stop: CancellationToken,
}

/// The settings that several parts of a node read.
pub(crate) struct SharedConfig {
    pub(crate) primary_region: Region,
    pub(crate) max_body: usize,
    pub(crate) encode_local_calls: bool,
    pub(crate) observers: Option<Arc<Observers>>,
}

impl NodeShared {
    /// # Panics
    ///
    /// If the current thread is not in a tokio runtime.
    pub(crate) fn new(
        env: Arc<dyn Env>,
        me: NodeInfo,
        config: SharedConfig,
        server: Server,
        commands: mpsc::UnboundedSender<Command>,
    ) -> Arc<NodeShared> {
        let stop = CancellationToken::new();
        let turns = Turns::new(Arc::clone(&env), stop.clone());
        let host = Arc::clone(server.host());
        // At the most severe level, so that every subscriber that receives a log line receives the span.
        let span = tracing::error_span!("flyrpc", node = %me.name());
        let shared = Arc::new(NodeShared {
            epoch: env.now(),
            env,
            runtime: RuntimeHandle::current(),
            me,
            config,
            observed_calls: AtomicU64::new(0),
            server: Arc::new(server),
            published: Published::new(),
            events: broadcast::Sender::new(EVENT_CAPACITY),
            commands,
            region_calls: Mutex::default(),
            turns,
            counters: Arc::new(Counters::new()),
            visitors: Visitors::default(),
            shut_down: AtomicBool::new(false),
            span,
            failure: OnceLock::new(),
            stop,
        });
        let node = Arc::downgrade(&shared);
        host.set_node(node);
        shared
    }

    pub(crate) fn env(&self) -> &Arc<dyn Env> {
        &self.env
    }

    /// Converts `at` to microseconds since the node was started.
    pub(crate) fn micros_at(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_micros() as u64
    }

    /// The runtime in which the node was started. It may have ended.
    pub(crate) fn runtime(&self) -> &RuntimeHandle {
        &self.runtime
    }

    /// This node.
    pub(crate) fn me(&self) -> &NodeInfo {
        &self.me
    }

    /// The span of the log lines of this node's tasks, which has the node's name as a field.
    pub(crate) fn span(&self) -> &tracing::Span {
        &self.span
    }

    pub(crate) fn primary_region(&self) -> &Region {
        &self.config.primary_region
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.config.primary_region == *self.me.region()
    }

    /// Upper bound on the bytes of a body that this node accepts.
    pub(crate) fn max_body(&self) -> usize {
        self.config.max_body
    }

    /// Whether calls that run on this node are encoded and decoded as if they crossed a link.
    pub(crate) fn encodes_local_calls(&self) -> bool {
        self.config.encode_local_calls
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The current routing table.
    pub(crate) fn table(&self) -> Guard<Arc<Table<Arc<Link>>>> {
        self.published.table()
    }

    /// All known addresses.
    pub(crate) fn peers(&self) -> Vec<PeerSnapshot> {
        self.published.peers()
    }

    /// The number of publications so far. Read it before the [`table`](Self::table).
    pub(crate) fn version(&self) -> u64 {
        self.published.version()
    }

    /// Waits until a view of the cluster other than version `seen` is published.
    pub(crate) async fn changed_since(&self, seen: u64) {
        self.published.changed_since(seen).await;
    }

    /// Publishes changes to the view of the cluster: the table, if it changed, and the peers that
    /// changed. `links_changed` states whether the state of a link in the table has changed.
    pub(crate) fn publish(
        &self,
        table: Option<Table<Arc<Link>>>,
        changes: Vec<(PeerKey, Option<PeerSnapshot>)>,
        links_changed: bool,
    ) {
        self.published.publish(table, changes, links_changed);
    }

    /// Returns the calls to a region.
    pub(crate) fn region_calls(&self, region: &Region) -> Arc<RegionCalls> {
        let mut regions = self.region_calls.lock().unwrap_or_else(PoisonError::into_inner);
        if regions.len() >= MAX_IDLE_REGIONS {
            regions.retain(|_, calls| Arc::strong_count(calls) > 1);
        }
        let now = self.env.now().into_std();
        let new = || Arc::new(RegionCalls::new(now, self.epoch.into_std()));
        Arc::clone(regions.entry(region.clone()).or_insert_with(new))
    }

    /// Returns the totals of the calls to each region, in order.
    pub(crate) fn region_stats(&self) -> Vec<RegionStats> {
        let regions = self.region_calls.lock().unwrap_or_else(PoisonError::into_inner);
        regions.iter().map(|(region, calls)| calls.stats(region.clone())).collect()
    }

    /// The queues of the calls that wait for nodes which refused them.
    pub(crate) fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// What this node counts.
    #[inline]
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The links of visitors.
    pub(crate) fn visitors(&self) -> &Visitors {
        &self.visitors
    }

    /// Returns whether a link to `addr` is open once the dial attempt in progress, or a new one, has
    /// ended. Returns false immediately if an earlier attempt failed, because then the address is dialed
    /// only when its backoff ends.
    pub(crate) async fn dial(&self, addr: SocketAddr) -> bool {
        let (done, result) = oneshot::channel();
        self.command(Command::Dial { addr, done });
        result.await.unwrap_or(false)
    }

    pub(crate) fn command(&self, command: Command) {
        // The cluster task ends only with the node, and then commands no longer matter.
        let _ = self.commands.send(command);
    }

    pub(crate) fn commands(&self) -> &mpsc::UnboundedSender<Command> {
        &self.commands
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    pub(crate) fn emit(&self, event: Event) {
        self.notify(&Observed::Event(&event));
        // An error means that there is no listener.
        let _ = self.events.send(event);
    }

    pub(crate) fn observers(&self) -> Option<&Observers> {
        self.config.observers.as_deref()
    }

    /// Reports to the observers, if there are any.
    pub(crate) fn notify(&self, observed: &Observed<'_>) {
        if let Some(observers) = self.observers() {
            observers.observe(observed);
        }
    }

    /// Counts a call of this node that has ended, unless nodes make it to keep the cluster together.
    #[inline]
    pub(crate) fn count_call(&self, service: &str, status: CallStatus) {
        if service != INTERNAL_SERVICE {
            self.counters.on_call(status);
        }
    }

    /// Counts a datagram that was dropped for this reason, and reports it to the observers.
    pub(crate) fn on_datagram_dropped(&self, reason: &'static str) {
        self.counters.on_datagram_dropped(reason);
        self.notify(&Observed::DatagramDropped(reason));
    }

    /// Counts a handshake that ended with this result, and reports it to the observers.
    pub(crate) fn on_handshake(&self, result: &'static str) {
        self.counters.on_handshake(result);
        self.notify(&Observed::Handshake(result));
    }

    /// Returns the number of the next call to report to the observer.
    pub(crate) fn next_call(&self) -> u64 {
        self.observed_calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Changes which calls this node accepts. The change applies immediately on this node, and each
    /// peer is notified with one message.
    pub(crate) fn change_state(&self, change: impl FnOnce(&mut State)) {
        self.server.change_state(change);
        self.command(Command::StateChanged);
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Acquire)
    }

    /// Makes new calls fail. Returns true the first time.
    pub(crate) fn shut_down(&self) -> bool {
        !self.shut_down.swap(true, Ordering::AcqRel)
    }

    /// Ends the node immediately, as if it had crashed.
    pub(crate) fn end(&self) {
        // The order matters: code that finds that a task or a link has ended reads the flag to
        // learn why.
        self.shut_down();
        self.stop.cancel();
    }

    /// Ends the node because one of its tasks failed. Has no effect if the node has already ended.
    pub(crate) fn fail(&self, failure: NodeFailure) {
        if !self.stop.is_cancelled() {
            // An error means that another task failed first, and perhaps caused this failure.
            let _ = self.failure.set(failure);
        }
        self.end();
    }

    /// Returns why the node failed, if it did.
    pub(crate) fn failure(&self) -> Option<&NodeFailure> {
        self.failure.get()
    }

    /// Canceled when every task of the node must end.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}
