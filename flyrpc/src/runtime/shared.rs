//! What all parts of a running node share: who it is, what it serves, and what it knows of others.
//!
//! Calls read it without waiting. What is known of others changes in one place only, the task in
//! [`cluster`](super::cluster), which other parts reach by [`Command`]s.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use super::cluster::peer_snapshot::Known;
use super::{
    link::{Link, LinkEvent},
    server::Server,
};
use crate::{
    env::Env,
    proto::{membership::MemberState, routing::Table, wire::hello::State},
    telemetry::{Observed, Observer},
    types::{Event, NodeInfo, Region},
};

/// What a running node's parts share.
pub(crate) struct NodeShared {
    env: Arc<dyn Env>,
    me: NodeInfo,
    config: SharedConfig,
    /// How many calls the observer was shown.
    calls: AtomicU64,
    server: Arc<Server>,
    table: ArcSwap<Table<Arc<Link>>>,
    /// Locked for no longer than it takes to copy it.
    known: Mutex<BTreeMap<SocketAddr, Known>>,
    /// Counts what was published. Apart from the channel, whose value calls could read under a lock only.
    version: AtomicU64,
    /// Tells calls that wait of everything that is published.
    published: watch::Sender<()>,
    events: broadcast::Sender<Event>,
    commands: mpsc::UnboundedSender<Command>,
    shut_down: AtomicBool,
    stop: CancellationToken,
}

/// What a node was told that matters to its parts.
pub(crate) struct SharedConfig {
    pub(crate) primary_region: Region,
    pub(crate) max_body: usize,
    pub(crate) encode_local_calls: bool,
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

/// What the cluster task is asked to do, or told.
pub(crate) enum Command {
    /// Open a link to this address at once, and say whether there is one now.
    Dial { addr: SocketAddr, done: oneshot::Sender<bool> },
    /// Something happened to a link.
    Link(LinkEvent),
    /// Tell all peers what this node accepts now.
    StateChanged,
    /// Compare memberships with the node at this address.
    Exchange {
        from: SocketAddr,
        digests: Vec<u64>,
        reply: oneshot::Sender<(Vec<u64>, Vec<MemberState>)>,
    },
    /// Learn of members from the node at this address, and say when that is done.
    Learn { from: SocketAddr, members: Vec<MemberState>, done: oneshot::Sender<()> },
    /// Leave the cluster, end the links when they are done, and say when that is: `within` this time,
    /// or `at_most` that if replies are still on their way.
    Leave { within: Duration, at_most: Duration, done: oneshot::Sender<()> },
}

/// How many events a slow listener may fall behind.
const EVENTS: usize = 1024;

impl NodeShared {
    pub(crate) fn new(
        env: Arc<dyn Env>,
        me: NodeInfo,
        config: SharedConfig,
        server: Server,
        commands: mpsc::UnboundedSender<Command>,
    ) -> Arc<NodeShared> {
        Arc::new(NodeShared {
            env,
            me,
            config,
            calls: AtomicU64::new(0),
            server: Arc::new(server),
            table: ArcSwap::from_pointee(Table::empty()),
            known: Mutex::default(),
            version: AtomicU64::new(0),
            published: watch::Sender::new(()),
            events: broadcast::Sender::new(EVENTS),
            commands,
            shut_down: AtomicBool::new(false),
            stop: CancellationToken::new(),
        })
    }

    pub(crate) fn env(&self) -> &Arc<dyn Env> {
        &self.env
    }

    pub(crate) fn me(&self) -> &NodeInfo {
        &self.me
    }

    pub(crate) fn primary_region(&self) -> &Region {
        &self.config.primary_region
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.config.primary_region == *self.me.region()
    }

    /// The most bytes of a body that this node takes.
    pub(crate) fn max_body(&self) -> usize {
        self.config.max_body
    }

    /// Whether calls that run here are encoded and decoded all the same.
    pub(crate) fn encodes_local_calls(&self) -> bool {
        self.config.encode_local_calls
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Who is where, now.
    pub(crate) fn table(&self) -> Guard<Arc<Table<Arc<Link>>>> {
        self.table.load()
    }

    /// Every address that is known, and what of it.
    pub(crate) fn known(&self) -> Vec<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().cloned().collect()
    }

    /// How many times something was published. To be read before the table is.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Waits until something is published after version `seen`.
    pub(crate) async fn changed_since(&self, seen: u64) {
        let mut published = self.published.subscribe();
        while self.version() == seen {
            // It is never closed: this node is borrowed.
            let _ = published.changed().await;
        }
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Opens a link to `addr`, and tells whether there is one.
    pub(crate) async fn dial(&self, addr: SocketAddr) -> bool {
        let (done, result) = oneshot::channel();
        self.command(Command::Dial { addr, done });
        result.await.unwrap_or(false)
    }

    pub(crate) fn command(&self, command: Command) {
        // The task is gone only when the node is shut down, and then nothing is to be done.
        let _ = self.commands.send(command);
    }

    pub(crate) fn commands(&self) -> &mpsc::UnboundedSender<Command> {
        &self.commands
    }

    /// Replaces what is known of others: the table if it is another, and some addresses.
    pub(crate) fn publish(
        &self,
        table: Option<Table<Arc<Link>>>,
        changes: Vec<(SocketAddr, Option<Known>)>,
    ) {
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            for (addr, change) in changes {
                match change {
                    Some(change) => known.insert(addr, change),
                    None => known.remove(&addr),
                };
            }
        }
        if let Some(table) = table {
            self.table.store(Arc::new(table));
        }
        // Whoever waits looks again, also at what links say of themselves.
        self.version.fetch_add(1, Ordering::Release);
        self.published.send_replace(());
    }

    /// Who wants to know what happens here, if anybody does.
    pub(crate) fn observer(&self) -> Option<&dyn Observer> {
        self.config.observer.as_deref()
    }

    /// Tells whoever wants to know.
    pub(crate) fn tell(&self, observed: &Observed<'_>) {
        if let Some(observer) = self.observer() {
            observer.observe(observed);
        }
    }

    /// Numbers one more call that the observer is shown.
    pub(crate) fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn emit(&self, event: Event) {
        self.tell(&Observed::Event(&event));
        // It is fine that nobody listens.
        let _ = self.events.send(event);
    }

    /// Changes what this node accepts, at once here and within a message at every peer.
    pub(crate) fn change_state(&self, change: impl FnOnce(&mut State)) {
        self.server.change_state(change);
        self.command(Command::StateChanged);
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Acquire)
    }

    /// Makes new calls fail; the first caller is told `true`.
    pub(crate) fn shut_down(&self) -> bool {
        !self.shut_down.swap(true, Ordering::AcqRel)
    }

    /// Ends the node at once, as if it had crashed.
    pub(crate) fn end(&self) {
        // In this order: whoever finds that a task or a link has ended looks why.
        self.shut_down();
        self.stop.cancel();
    }

    /// Cancelled when every task of the node is to end.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

/// A hold on a running node, which stops at once when the last is dropped.
pub(crate) struct Handle {
    hub: Arc<NodeShared>,
    /// Whether it counts: the node's own clients must not keep the node.
    keeps: bool,
}

impl Handle {
    pub(crate) fn keeping(hub: Arc<NodeShared>) -> Arc<Self> {
        Arc::new(Handle { hub, keeps: true })
    }

    pub(crate) fn loose(hub: Arc<NodeShared>) -> Arc<Self> {
        Arc::new(Handle { hub, keeps: false })
    }
}

impl Deref for Handle {
    type Target = NodeShared;

    fn deref(&self) -> &NodeShared {
        &self.hub
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.keeps {
            self.hub.end();
        }
    }
}
