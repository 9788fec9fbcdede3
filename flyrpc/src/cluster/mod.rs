//! The one task that decides who is known: it drives the membership and discovery, opens links, and
//! publishes what calls need to know.
//!
//! Everything that changes what is known arrives here as a [`Message`], and is handled without
//! waiting; whatever takes time (dialling, looking names up, asking a peer) runs in a task of its
//! own and reports back. So one hung or hostile peer delays nothing for any other.

mod internal;
mod peer;
mod sockets;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use self::{internal::Exchange, peer::Peer};
pub(crate) use self::{
    internal::{Answers, InternalClient, ServeInternal},
    sockets::Sockets,
};
use crate::{
    NodeId, NodeInfo, RpcError,
    client::{Client, Routed},
    discovery::Discovery,
    hub::{Command, Handle, Hub},
    link::{
        self, DialError, Established, Introduction, Link, LinkError, LinkEvent, LinkEventKind,
        Surroundings,
    },
    membership::{self, Membership},
    peers::{self, NoSupport},
    routing::Table,
    wire::frame::GoingAway,
};

/// How often memberships are compared with a random peer.
const EXCHANGE_PERIOD: Duration = Duration::from_secs(30);

/// The same, while the members seem to be gone though links are open.
const EXCHANGE_ALONE: Duration = Duration::from_secs(5);

/// For how long the node with the greater id leaves it to the other to dial. Only one of the two
/// has to, and both together would open a link too many.
const COURTESY: Duration = Duration::from_secs(1);

/// How many datagrams and other messages are handled before what is known is published again.
const BATCH: usize = 256;

/// What the task is told by the tasks that it started.
enum Message {
    Dialled(SocketAddr, Result<Established, DialError>),
    Accepted(Established),
    Datagram(Vec<u8>),
    Resolved(String, Result<Vec<SocketAddr>, String>),
    Exchanged(SocketAddr, NodeInfo, Result<Exchange, RpcError>),
}

/// What the task needs to begin.
pub(crate) struct Beginning {
    pub(crate) hub: Arc<Hub>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) sockets: Sockets,
    pub(crate) membership: Membership,
    pub(crate) discovery: Discovery,
    pub(crate) cluster: String,
    pub(crate) heartbeat: Duration,
    /// The moment from which the membership counts time.
    pub(crate) epoch: Instant,
}

/// Starts the task, and those around it. They end when the hub's `stop` is cancelled.
pub(crate) fn start(beginning: Beginning) {
    let Beginning { hub, commands, sockets, membership, discovery, cluster, heartbeat, epoch } =
        beginning;
    let (sender, messages) = mpsc::unbounded_channel();
    let datagrams = sockets::sender(&hub, Arc::clone(&sockets.datagram));
    let introduce = Introduce { hub: Arc::clone(&hub), cluster, heartbeat };
    let accepting = introduce.clone();
    hub.env().spawn(Box::pin(sockets::accept(
        Arc::clone(&hub),
        sockets.listener,
        move || accepting.introduction(),
        sender.clone(),
    )));
    hub.env().spawn(Box::pin(sockets::receive(Arc::clone(&hub), sockets.datagram, sender.clone())));
    let now = hub.env().now().saturating_duration_since(epoch);
    let mut task = Cluster {
        client: InternalClient::from_routed(Routed::new(Handle::loose(Arc::clone(&hub)))),
        introduce,
        sender,
        datagrams,
        membership,
        discovery,
        peers: BTreeMap::new(),
        live: BTreeMap::new(),
        disagreeing: BTreeMap::new(),
        epoch,
        next_exchange: now + EXCHANGE_PERIOD,
        ready: false,
        leaving: None,
        news: Vec::new(),
        hub: Arc::clone(&hub),
    };
    task.step();
    hub.env().spawn(Box::pin(task.run(commands, messages)));
}

/// Makes what this node says of itself on a new link.
#[derive(Clone)]
struct Introduce {
    hub: Arc<Hub>,
    cluster: String,
    heartbeat: Duration,
}

impl Introduce {
    fn introduction(&self) -> Introduction {
        Introduction {
            cluster: self.cluster.clone(),
            node: self.hub.me().clone(),
            max_body: self.hub.max_body(),
            services: Arc::clone(self.hub.server().specs()),
            state: (*self.hub.server().state()).clone(),
            heartbeat: self.heartbeat,
        }
    }
}

struct Cluster {
    hub: Arc<Hub>,
    client: InternalClient,
    introduce: Introduce,
    sender: mpsc::UnboundedSender<Message>,
    datagrams: mpsc::Sender<(SocketAddr, Vec<u8>)>,
    membership: Membership,
    discovery: Discovery,
    peers: BTreeMap<SocketAddr, Peer>,
    /// Who was live when that was last published.
    live: BTreeMap<NodeId, NodeInfo>,
    /// Who takes which other region for the primary.
    disagreeing: BTreeMap<NodeId, crate::Region>,
    epoch: Instant,
    next_exchange: Duration,
    ready: bool,
    leaving: Option<Leaving>,
    /// Events to tell of once that which they are about is published: whoever hears of one looks.
    news: Vec<peers::Event>,
}

struct Leaving {
    until: Duration,
    done: oneshot::Sender<()>,
}

impl Cluster {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut messages: mpsc::UnboundedReceiver<Message>,
    ) {
        let stop = self.hub.stop().clone();
        while !stop.is_cancelled() {
            let pause = self.next_step().saturating_sub(self.now());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(command) = commands.recv() => self.command(command),
                Some(message) = messages.recv() => self.message(message),
                () = tokio::time::sleep(pause) => {}
            }
            for _ in 0..BATCH {
                if let Ok(command) = commands.try_recv() {
                    self.command(command);
                } else if let Ok(message) = messages.try_recv() {
                    self.message(message);
                } else {
                    break;
                }
            }
            self.step();
        }
        for link in self.peers.values().flat_map(|peer| &peer.links) {
            link.abort(LinkError::ShutDown);
        }
    }

    fn now(&self) -> Duration {
        self.hub.env().now().saturating_duration_since(self.epoch)
    }

    /// When [`step`](Self::step) next has something to do, if nothing else happens.
    fn next_step(&self) -> Duration {
        if let Some(leaving) = &self.leaving {
            // It does nothing of its own accord any more.
            return leaving.until;
        }
        let dials = self.peers.iter().filter(|(_, peer)| !self.is_reached_elsewhere(peer));
        let dials = dials.filter_map(|(_, peer)| peer.next_dial());
        let settles = self.peers.values().filter_map(|peer| peer.settles_at());
        let settles = settles.filter(|at| !self.ready && *at > self.now());
        self.membership
            .next_timeout()
            .into_iter()
            .chain(self.discovery.next_due())
            .chain(dials)
            .chain(settles)
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
        self.publish();
        // Only now: whether a node that went away had said goodbye is known of its peer.
        self.peers.retain(|_, peer| peer.is_known());
        self.finish_leaving();
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Dial { addr, done } => {
                let peer = self.peers.entry(addr).or_default();
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
            Command::Exchange { digests, reply } => {
                let answer = (self.membership.digests(), self.membership.difference(&digests));
                // The peer may have given up.
                let _ = reply.send(answer);
            }
            Command::Learn(members) => self.learn(&members),
            Command::Leave { within, done } => self.leave(within, done),
        }
    }

    fn message(&mut self, message: Message) {
        let now = self.now();
        match message {
            Message::Dialled(addr, Ok(established)) => {
                self.discovery.reached(now, addr);
                let at = established.peer().addr();
                if at != addr {
                    self.peers.entry(addr).or_default().alias_of = Some(at);
                }
                self.linked(established);
                self.dialled(addr, None);
            }
            Message::Dialled(addr, Err(DialError::Oneself)) => {
                self.discovery.is_self(addr);
                self.peers.remove(&addr);
            }
            Message::Dialled(addr, Err(error)) => self.dialled(addr, Some(&error)),
            Message::Accepted(established) => self.linked(established),
            Message::Datagram(datagram) => self.membership.handle_datagram(now, &datagram),
            Message::Resolved(name, answer) => {
                if let Err(error) = &answer
                    && !self.discovery.is_failing(&name)
                {
                    tracing::warn!(%name, %error, "a seed could not be looked up");
                }
                self.discovery.resolved(now, &name, answer);
            }
            Message::Exchanged(addr, node, answer) => self.exchanged(addr, &node, answer),
        }
    }

    /// Takes in what the membership has to say, and sends what it has to send.
    fn drain_membership(&mut self) {
        let now = self.now();
        while let Some(event) = self.membership.poll_event() {
            match event {
                membership::Event::Up(node) => {
                    let first = *self.hub.me().id() < *node.id();
                    let peer = self.peers.entry(node.addr()).or_default();
                    peer.member = true;
                    if peer.link().is_none() && peer.info.as_ref() != Some(&node) {
                        peer.left = false;
                        peer.lost = false;
                        peer.info = Some(node);
                    }
                    peer.reset_backoff(if first { now } else { now + COURTESY });
                }
                membership::Event::Down(node) => {
                    if let Some(peer) = self.peers.get_mut(&node.addr())
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

    fn look_up(&mut self) {
        let due = self.discovery.due(self.now());
        for name in due.resolve {
            let (env, to) = (Arc::clone(self.hub.env()), self.sender.clone());
            self.hub.env().spawn(Box::pin(async move {
                let answer = env.resolve(&name).await.map_err(|error| error.to_string());
                // The node is shut down if nobody receives it.
                let _ = to.send(Message::Resolved(name, answer));
            }));
        }
        for addr in due.forgotten {
            if let Some(peer) = self.peers.get_mut(&addr) {
                peer.seed = false;
            }
        }
        for addr in self.discovery.addresses() {
            self.peers.entry(addr).or_default().seed = true;
        }
    }

    /// Whether the node at an address is linked through the address where it says that it is.
    fn is_reached_elsewhere(&self, peer: &Peer) -> bool {
        let elsewhere = peer.alias_of.and_then(|addr| self.peers.get(&addr));
        elsewhere.is_some_and(|peer| peer.link().is_some())
    }

    fn dial_what_is_due(&mut self) {
        let now = self.now();
        let due = self.peers.iter().filter(|(_, peer)| {
            peer.next_dial().is_some_and(|at| at <= now) && !self.is_reached_elsewhere(peer)
        });
        let due: Vec<SocketAddr> = due.map(|(addr, _)| *addr).collect();
        due.into_iter().for_each(|addr| self.dial(addr));
    }

    fn dial(&mut self, addr: SocketAddr) {
        let now = self.now();
        if !self.peers.entry(addr).or_default().begin_dial(now) {
            return;
        }
        let (me, env, to) =
            (self.introduce.introduction(), Arc::clone(self.hub.env()), self.sender.clone());
        let stop = self.hub.stop().clone();
        self.hub.env().spawn(Box::pin(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                // The node is shut down if nobody receives it.
                dialled = link::dial(&*env, addr, &me) => drop(to.send(Message::Dialled(addr, dialled))),
            }
        }));
    }

    fn dialled(&mut self, addr: SocketAddr, error: Option<&DialError>) {
        let (now, random) = (self.now(), self.hub.env().random());
        let Some(peer) = self.peers.get_mut(&addr) else { return };
        let before = peer.support();
        peer.dialled(now, error, random);
        let after = peer.support();
        let Some(error) = error else { return };
        let known = |support: &peers::Support| match support {
            peers::Support::Unsupported(why) => Some(std::mem::discriminant(why)),
            _ => None,
        };
        if known(&before) == known(&after) {
            return;
        }
        tracing::warn!(%addr, %error, "no flyrpc node of this cluster answers there; it is asked again from time to time");
        let node = peer.info.clone();
        self.news.push(peers::Event::SupportChanged { addr, node, support: after });
    }

    /// Makes a connection the link to its node, or one of two if both nodes dialled at once.
    fn linked(&mut self, established: Established) {
        let addr = established.peer().addr();
        let (events, to) = (self.hub.commands().clone(), self.hub.env());
        let link = Link::start(
            established,
            Surroundings {
                env: Arc::clone(to),
                serve: Arc::clone(self.hub.server()),
                events: Box::new(move |event| {
                    // The node is shut down if nobody receives it.
                    let _ = events.send(Command::Link(event));
                }),
                heartbeat: self.introduce.heartbeat,
                max_body: self.hub.max_body(),
            },
        );
        if self.leaving.is_some() {
            return link.abort(LinkError::ShutDown);
        }
        // What this node accepts may have changed since it introduced itself.
        link.send_state(&self.hub.server().state());
        let peer = self.peers.entry(addr).or_default();
        let (boot, me) = (link.peer().id().clone(), self.hub.me().id());
        for former in peer.links.iter().filter(|link| link.is_open()) {
            if *former.peer().id() != boot {
                // That boot's process is gone, or another would not have its address.
                former.abort(LinkError::Closed);
            } else if *me < boot {
                // One of the two nodes decides, so that both use the same link.
                former.retire(GoingAway::Superseded);
            }
        }
        let before = peer.support();
        peer.linked(Arc::clone(&link));
        if before != peers::Support::Supported {
            tracing::info!(node = %link.peer(), %addr, "linked");
            let (node, support) = (Some(link.peer().clone()), peer.support());
            self.news.push(peers::Event::SupportChanged { addr, node, support });
        }
        self.compare_primary(&link);
        self.exchange_with(addr, link.peer().clone());
    }

    fn link_event(&mut self, link: &Arc<Link>, kind: LinkEventKind) {
        let (addr, now) = (link.peer().addr(), self.now());
        match kind {
            LinkEventKind::StateChanged => {
                self.compare_primary(link);
                self.tell_of_state(link);
            }
            LinkEventKind::QuietChanged => {}
            LinkEventKind::GoingAway(GoingAway::Superseded) => {}
            LinkEventKind::GoingAway(GoingAway::Leaving) => {
                if let Some(peer) = self.peers.get_mut(&addr)
                    && peer.info.as_ref() == Some(link.peer())
                {
                    peer.left = true;
                    peer.dial_at(now + COURTESY);
                }
            }
            LinkEventKind::Ended(error) => {
                let Some(peer) = self.peers.get_mut(&addr) else { return };
                peer.links.retain(|other| !Arc::ptr_eq(other, link));
                if peer.links.iter().all(|other| other.peer().id() != link.peer().id()) {
                    self.disagreeing.remove(link.peer().id());
                }
                if matches!(error, LinkError::Retired) || peer.link().is_some() {
                    return;
                }
                tracing::warn!(node = %link.peer(), %error, "link lost");
                peer.lost = true;
                // Both ends lose a link at once, and one dials again.
                let first = *self.hub.me().id() < *link.peer().id() && !peer.left;
                peer.dial_at(if first { now } else { now + COURTESY });
            }
        }
    }

    /// Tells what calls a peer accepts from now on.
    fn tell_of_state(&self, link: &Link) {
        let (node, state) = (link.peer(), link.state());
        let accepting = state.accepting && !state.draining;
        tracing::info!(%node, accepting, withdrawn = ?state.withdrawn, "node accepts other calls");
        self.hub.emit(peers::Event::SupportChanged {
            addr: node.addr(),
            node: Some(node.clone()),
            support: peers::Support::Supported,
        });
    }

    fn compare_primary(&mut self, link: &Link) {
        let (theirs, ours) =
            (link.state().primary_region.clone(), self.hub.primary_region().clone());
        let id = link.peer().id();
        if theirs == ours {
            self.disagreeing.remove(id);
            return;
        }
        if self.disagreeing.insert(id.clone(), theirs.clone()).as_ref() == Some(&theirs) {
            return;
        }
        tracing::warn!(node = %link.peer(), %theirs, %ours, "nodes disagree on the primary region");
        let node = link.peer().clone();
        self.news.push(peers::Event::PrimaryDisagreement { node, theirs, ours });
    }

    fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.peers.values().flat_map(|peer| &peer.links)
    }

    fn exchange_with_somebody(&mut self) {
        let now = self.now();
        let linked: Vec<NodeInfo> = self
            .peers
            .values()
            .filter_map(|peer| peer.link())
            .map(|link| link.peer().clone())
            .collect();
        linked.iter().for_each(|node| self.discovery.reached(now, node.addr()));
        if linked.is_empty() {
            return;
        }
        let place = (self.hub.env().random() % linked.len() as u64) as usize;
        let node = linked[place].clone();
        self.exchange_with(node.addr(), node);
    }

    fn exchange_with(&mut self, addr: SocketAddr, node: NodeInfo) {
        // The call looks for the link in the table.
        self.publish();
        let (client, to) = (self.client.on_node(node.id()), self.sender.clone());
        let digests = self.membership.digests();
        self.hub.env().spawn(Box::pin(async move {
            let answer = client.exchange(digests).await;
            // The node is shut down if nobody receives it.
            let _ = to.send(Message::Exchanged(addr, node, answer));
        }));
    }

    fn exchanged(&mut self, addr: SocketAddr, node: &NodeInfo, answer: Result<Exchange, RpcError>) {
        if let Some(peer) = self.peers.get_mut(&addr) {
            peer.exchanged = true;
        }
        let Exchange { digests, members } = match answer {
            Ok(exchange) => exchange,
            Err(error) => return tracing::debug!(%node, %error, "memberships were not compared"),
        };
        self.learn(&members);
        let news = self.membership.difference(&digests);
        if news.is_empty() {
            return;
        }
        let client = self.client.on_node(node.id());
        self.hub.env().spawn(Box::pin(async move {
            if let Err(error) = client.learn(news).await {
                tracing::debug!(%error, "a peer was not told of members");
            }
        }));
    }

    fn learn(&mut self, members: &[membership::MemberState]) {
        let now = self.now();
        self.membership.apply(now, members);
        self.drain_membership();
    }

    /// Publishes who is known, and tells of those who came and went.
    fn publish(&mut self) {
        let now = self.now();
        let mut table = Table::empty();
        let mut live = BTreeMap::new();
        let mut known = Vec::with_capacity(self.peers.len());
        for (addr, peer) in &self.peers {
            if peer.is_known() && !self.is_reached_elsewhere(peer) {
                known.push(peer.known(*addr));
            }
            match &peer.support {
                Some(NoSupport::Unreachable(_)) if !peer.member => table.unreachable += 1,
                Some(NoSupport::Unreachable(_)) | None => {}
                Some(_) => table.not_flyrpc += 1,
            }
            if let Some(entry) = peer.entry() {
                if !entry.lost {
                    live.insert(entry.info.id().clone(), entry.info.clone());
                }
                table.insert(entry);
            }
        }
        self.ready = self.ready || self.is_ready(now);
        table.ready = self.ready;
        let before = std::mem::replace(&mut self.live, live);
        self.hub.publish(table, known);
        self.news.drain(..).for_each(|event| self.hub.emit(event));
        for (id, node) in &before {
            if !self.live.contains_key(id) {
                let peer = self.peers.get(&node.addr());
                let left = peer.is_some_and(|peer| peer.left && peer.info.as_ref() == Some(node));
                let (node, state) = (node.clone(), if left { "left" } else { "down" });
                tracing::info!(%node, "node {state}");
                self.hub.emit(if left {
                    peers::Event::Left(node)
                } else {
                    peers::Event::Down(node)
                });
            }
        }
        for (id, node) in &self.live {
            if !before.contains_key(id) {
                tracing::info!(%node, "node up");
                self.hub.emit(peers::Event::Up(node.clone()));
            }
        }
    }

    fn is_ready(&self, now: Duration) -> bool {
        self.discovery.first_answer().is_some_and(|first| {
            first.iter().all(|addr| self.peers.get(addr).is_none_or(|peer| peer.is_settled(now)))
        })
    }

    fn leave(&mut self, within: Duration, done: oneshot::Sender<()>) {
        let now = self.now();
        self.membership.leave(now);
        self.drain_membership();
        self.links().for_each(|link| link.retire(GoingAway::Leaving));
        self.leaving = Some(Leaving { until: now + within, done });
    }

    /// Stops once every link has ended, or the time for that is over.
    fn finish_leaving(&mut self) {
        let over = self.leaving.as_ref().is_some_and(|leaving| leaving.until <= self.now());
        if (over || self.links().next().is_none())
            && let Some(leaving) = self.leaving.take()
        {
            // Whoever shut the node down may have stopped waiting.
            let _ = leaving.done.send(());
            self.hub.stop().cancel();
        }
    }
}
