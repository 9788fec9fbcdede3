//! The one task that decides who is known: it drives the membership and discovery, opens links, and
//! publishes what calls need to know.
//!
//! Everything that changes what is known arrives here as a [`Message`], and is handled without
//! waiting; whatever takes time (dialling, looking names up, asking a peer) runs in a task of its
//! own and reports back. So one hung or hostile peer delays nothing for any other.

mod dial;
mod internal;
mod links;
mod peer;
pub(crate) mod peer_snapshot;
mod peer_table;
mod snapshot;
mod sockets;
mod sync;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use self::{internal::Exchange, peer_table::PeerTable, snapshot::Published, sync::Exchanges};
pub(crate) use self::{
    internal::{Answers, InternalClient, ServeInternal},
    sockets::Sockets,
};
use super::{
    client::{Client, Routed},
    link::{DialError, Handshaken, LinkError, LinkEvent, LocalHello},
    shared::{Command, Handle, NodeShared},
};
use crate::{
    error::RpcError,
    proto::{
        discovery::Discovery,
        membership::{self, Membership},
        wire::hello::{EncodedHello, State},
    },
    telemetry::Observed,
    types::{self, NodeId, NodeInfo},
};

/// How often memberships are compared with a random peer.
const EXCHANGE_PERIOD: Duration = Duration::from_secs(30);

/// The same, while the members seem to be gone though links are open.
const EXCHANGE_ALONE: Duration = Duration::from_secs(5);

/// For how long the node with the greater id leaves it to the other to dial. Only one of the two
/// has to, and both together would open a link too many.
const DIAL_TIEBREAK_DELAY: Duration = Duration::from_secs(1);

/// How many datagrams and other messages are handled before what is known is published again.
const BATCH: usize = 256;

/// What the task is told by the tasks that it started.
enum Message {
    Dialled(SocketAddr, Result<Handshaken, DialError>),
    Accepted(Handshaken),
    Resolved(String, Result<Vec<SocketAddr>, String>),
    Exchanged(NodeInfo, Result<Exchange, RpcError>),
}

/// What the task needs to begin.
pub(crate) struct ClusterParams {
    pub(crate) hub: Arc<NodeShared>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) sockets: Sockets,
    pub(crate) membership: Membership,
    pub(crate) discovery: Discovery,
    pub(crate) cluster: String,
    pub(crate) heartbeat: Duration,
    /// The moment from which the membership counts time.
    pub(crate) epoch: Instant,
}

/// Starts the task, and those around it. They end when the hub's `stop` is cancelled, which it is when
/// this task has ended.
pub(crate) fn start(beginning: ClusterParams) {
    let ClusterParams { hub, commands, sockets, membership, discovery, cluster, heartbeat, epoch } =
        beginning;
    let (sender, messages) = mpsc::unbounded_channel();
    let datagrams = sockets::sender(&hub, Arc::clone(&sockets.datagram));
    let introduce = LocalHelloSource::new(&hub, cluster, heartbeat);
    let accepting = introduce.clone();
    hub.env().spawn(Box::pin(sockets::accept(
        Arc::clone(&hub),
        sockets.listener,
        move || accepting.introduction(),
        sender.clone(),
    )));
    let (received, gossip) = mpsc::channel(sockets::DATAGRAMS);
    hub.env().spawn(Box::pin(sockets::receive(Arc::clone(&hub), sockets.datagram, received)));
    let now = hub.env().now().saturating_duration_since(epoch);
    let mut task = Cluster {
        client: InternalClient::from_routed(Routed::new(Handle::loose(Arc::clone(&hub)))),
        introduce,
        sender,
        datagrams,
        membership,
        discovery,
        peers: PeerTable::default(),
        published: Published::default(),
        awaited: None,
        exchanges: Exchanges::default(),
        disagreeing: BTreeMap::new(),
        epoch,
        next_exchange: now + EXCHANGE_PERIOD,
        ready: false,
        changed: true,
        leaving: None,
        news: Vec::new(),
        hub: Arc::clone(&hub),
    };
    task.add_seeds(task.discovery.addresses().collect());
    task.step();
    hub.env().spawn(Box::pin(task.run(commands, messages, gossip)));
}

/// Makes what this node says of itself on a new link.
#[derive(Clone)]
struct LocalHelloSource {
    hub: Arc<NodeShared>,
    cluster: String,
    heartbeat: Duration,
    last: Arc<ArcSwap<LocalHello>>,
}

impl LocalHelloSource {
    fn new(hub: &Arc<NodeShared>, cluster: String, heartbeat: Duration) -> Self {
        let first = LocalHelloSource::make(hub, &cluster, heartbeat, hub.server().state());
        let last = Arc::new(ArcSwap::from(first));
        LocalHelloSource { hub: Arc::clone(hub), cluster, heartbeat, last }
    }

    /// The last introduction, unless this node accepts other calls by now.
    fn introduction(&self) -> Arc<LocalHello> {
        let (last, state) = (self.last.load_full(), self.hub.server().state());
        if Arc::ptr_eq(&last.state, &state) {
            return last;
        }
        let new = LocalHelloSource::make(&self.hub, &self.cluster, self.heartbeat, state);
        self.last.store(Arc::clone(&new));
        new
    }

    fn make(
        hub: &NodeShared,
        cluster: &str,
        heartbeat: Duration,
        state: Arc<State>,
    ) -> Arc<LocalHello> {
        let (node, services) = (hub.me().clone(), hub.server().specs());
        let opening = EncodedHello::new(cluster, &node, hub.max_body() as u64, services, &state);
        Arc::new(LocalHello {
            cluster: cluster.to_owned(),
            node,
            state,
            encoded: opening,
            heartbeat,
        })
    }
}

struct Cluster {
    hub: Arc<NodeShared>,
    client: InternalClient,
    introduce: LocalHelloSource,
    sender: mpsc::UnboundedSender<Message>,
    datagrams: mpsc::Sender<(SocketAddr, Vec<u8>)>,
    membership: Membership,
    discovery: Discovery,
    peers: PeerTable,
    published: Published,
    /// Of the addresses that this node waits for before it is ready, the first.
    awaited: Option<SocketAddr>,
    exchanges: Exchanges,
    /// Who takes which other region for the primary.
    disagreeing: BTreeMap<NodeId, crate::types::Region>,
    epoch: Instant,
    next_exchange: Duration,
    ready: bool,
    /// Whether something changed that is not published yet.
    changed: bool,
    leaving: Option<Leaving>,
    /// Events to tell of once that which they are about is published: whoever hears of one looks.
    news: Vec<types::Event>,
}

struct Leaving {
    until: Duration,
    /// The same for links on which replies are still on their way.
    at_most: Duration,
    done: oneshot::Sender<()>,
}

/// However the task ends, the node ends with it. It may be dropped without another poll, with the
/// runtime or in a simulated crash, and so may those that serve the links: then nobody else would
/// tell the calls that wait.
impl Drop for Cluster {
    fn drop(&mut self) {
        self.hub.end();
        self.links().for_each(|link| link.end(LinkError::ShutDown));
    }
}

impl Cluster {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut messages: mpsc::UnboundedReceiver<Message>,
        mut gossip: mpsc::Receiver<Vec<u8>>,
    ) {
        let stop = self.hub.stop().clone();
        while !stop.is_cancelled() {
            let pause = self.next_step().saturating_sub(self.now());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(command) = commands.recv() => self.command(command),
                Some(message) = messages.recv() => self.message(message),
                Some(datagram) = gossip.recv() => self.datagram(&datagram),
                () = tokio::time::sleep(pause) => {}
            }
            for _ in 0..BATCH {
                if let Ok(command) = commands.try_recv() {
                    self.command(command);
                } else if let Ok(message) = messages.try_recv() {
                    self.message(message);
                } else if let Ok(datagram) = gossip.try_recv() {
                    self.datagram(&datagram);
                } else {
                    break;
                }
            }
            self.step();
        }
        for link in self.links() {
            link.end(LinkError::ShutDown);
            let why = link.error().unwrap_or(LinkError::ShutDown).to_string();
            self.hub.tell(&Observed::LinkClosed(link.peer(), &why));
        }
    }

    fn now(&self) -> Duration {
        self.hub.env().now().saturating_duration_since(self.epoch)
    }

    /// When [`step`](Self::step) next has something to do, if nothing else happens.
    fn next_step(&mut self) -> Duration {
        if let Some(leaving) = &self.leaving {
            // It does nothing of its own accord any more.
            let later = leaving.until <= self.now();
            return if later { leaving.at_most } else { leaving.until };
        }
        let now = self.now();
        self.membership
            .next_timeout()
            .into_iter()
            .chain(self.discovery.next_due())
            .chain(self.peers.next_dial())
            .chain(self.peers.next_settles(now))
            .fold(self.next_exchange, Duration::min)
    }

    /// Does all that is due, and publishes what came of it.
    fn step(&mut self) {
        let now = self.now();
        self.membership.handle_timeout(now);
        self.drain_membership();
        self.look_up();
        if self.leaving.is_none() {
            self.dial_what_is_due();
            let period = if self.membership.is_alone() { EXCHANGE_ALONE } else { EXCHANGE_PERIOD };
            self.next_exchange = self.next_exchange.min(now + period);
            if self.next_exchange <= now {
                self.next_exchange = now + period;
                tracing::debug!(gossip = ?self.membership.counters(), "so far");
                self.exchange_with_somebody();
            }
        }
        self.discovery.set_alone(self.membership.is_alone());
        if self.changed || (!self.ready && self.is_ready(now)) {
            self.publish();
        }
        if self.leaving.is_none() {
            // Only now: their calls look for links in the table.
            self.start_exchanges();
        }
        self.finish_leaving();
    }

    fn command(&mut self, command: Command) {
        self.changed |= matches!(command, Command::Dial { .. } | Command::Link(_));
        match command {
            Command::Dial { addr, done } => {
                let peer = self.peers.at(addr);
                if peer.link().is_some() {
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(true);
                } else {
                    peer.tell(done);
                    self.dial(addr);
                }
            }
            Command::Link(LinkEvent { link, kind }) => self.link_event(&link, kind),
            Command::StateChanged => {
                let state = self.hub.server().state();
                self.links().for_each(|link| link.send_state(&state));
            }
            Command::Exchange { from, digests, reply } => {
                let answer = (self.membership.digests(), self.membership.difference(&digests));
                if answer.0 == digests {
                    self.compared(from);
                }
                // The peer may have given up.
                let _ = reply.send(answer);
            }
            Command::Learn { from, members, done } => {
                self.learn(&members);
                self.compared(from);
                // The peer may have given up.
                let _ = done.send(());
            }
            Command::Leave { within, at_most, done } => self.leave(within, at_most, done),
        }
    }

    fn message(&mut self, message: Message) {
        let now = self.now();
        self.changed = true;
        match message {
            Message::Dialled(addr, Ok(established)) => {
                self.discovery.reached(now, addr);
                let at = established.peer().addr();
                if at != addr {
                    self.peers.set_alias(addr, at);
                }
                self.linked(established);
                self.dialled(addr, None);
            }
            Message::Dialled(addr, Err(DialError::SelfConnect)) => {
                self.discovery.is_self(addr);
                self.peers.remove(addr);
            }
            Message::Dialled(addr, Err(error)) => self.dialled(addr, Some(&error)),
            Message::Accepted(established) => self.linked(established),
            Message::Resolved(name, answer) => {
                if let Err(error) = &answer
                    && !self.discovery.is_failing(&name)
                {
                    tracing::warn!(%name, %error, "a seed could not be looked up");
                }
                let added = self.discovery.resolved(now, &name, answer);
                self.add_seeds(added);
            }
            Message::Exchanged(node, answer) => self.exchanged(&node, answer),
        }
    }

    fn datagram(&mut self, datagram: &[u8]) {
        let now = self.now();
        self.membership.handle_datagram(now, datagram);
    }

    /// Takes in what the membership has to say, and sends what it has to send.
    fn drain_membership(&mut self) {
        let now = self.now();
        while let Some(event) = self.membership.poll_event() {
            self.changed = true;
            match event {
                membership::Event::Up(node) => {
                    let first = *self.hub.me().id() < *node.id();
                    let peer = self.peers.at(node.addr());
                    peer.member = true;
                    if peer.link().is_none() && peer.info.as_ref() != Some(&node) {
                        peer.left = false;
                        peer.lost = false;
                        peer.info = Some(node);
                    }
                    peer.reset_backoff(if first { now } else { now + DIAL_TIEBREAK_DELAY });
                }
                membership::Event::Down(node) => {
                    if let Some(peer) = self.peers.get_mut(node.addr())
                        && peer.info.as_ref().is_none_or(|info| info.id() == node.id())
                    {
                        peer.member = false;
                    }
                }
            }
        }
        while let Some(datagram) = self.membership.poll_transmit() {
            // A full queue loses it, as the network may.
            let _ = self.datagrams.try_send(datagram);
        }
    }
}
