//! The cluster task: it owns the node's view of the cluster, handles inputs, and performs all
//! effects.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    accept,
    conflicts::AddressConflicts,
    dial::{self, Balancing},
    gossip_watch::GossipWatch,
    inputs::{BATCH, Input, Inputs},
    internal_service::{Exchange, InternalClient},
    leaving::Leaving,
    local_hello::{LocalHelloSource, LocalIdentity},
    message::Message,
    peer_table::PeerTable,
    primaries::PrimaryDisagreements,
    readiness::Readiness,
    snapshot::Publisher,
    sockets::{self, Sockets},
    sync::SyncSchedule,
    tasks::Tasks,
};
use crate::{
    codec::bytes::Malformed,
    config::Sealing,
    error::RpcError,
    proto::{
        discovery::Discovery,
        membership::{MemberState, Membership},
        wire::frame::GoAway,
    },
    runtime::{
        client::{Client, Routed},
        link::{DialError, Handshaken, LinkError},
        shared::{Command, NodeRef, NodeShared},
    },
    telemetry::Observed,
    types::{Event, NoSupport, NodeInfo, Support},
};

/// Upper bound on the dial attempts in progress. Peers choose the addresses of nodes, and each attempt
/// takes a socket.
const MAX_DIALS: usize = 64;

/// The parameters of the cluster task.
pub(crate) struct ClusterParams {
    pub(crate) shared: Arc<NodeShared>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) sockets: Sockets,
    pub(crate) membership: Membership,
    pub(crate) discovery: Discovery,
    /// The cluster's name.
    pub(crate) cluster: String,
    /// The version of the application.
    pub(crate) version: String,
    pub(crate) sealing: Sealing,
    pub(crate) heartbeat: Duration,
    /// The instant at which the time of membership and discovery is zero.
    pub(crate) epoch: Instant,
}

/// Starts the cluster task and the tasks of the sockets. They end when the node's `stop` is
/// canceled. When the cluster task ends, it cancels `stop` itself.
pub(crate) fn start(params: ClusterParams) {
    let ClusterParams { shared, sockets, membership, discovery, epoch, .. } = params;
    let Sockets { listener, datagram, .. } = sockets;
    let env = Arc::clone(shared.env());
    let (reports, messages) = mpsc::unbounded_channel();
    let (received, arrived) = mpsc::channel(sockets::DATAGRAM_QUEUE);
    let inputs = Inputs { commands: params.commands, messages, datagrams: arrived };
    let datagrams = sockets::start_sender(&shared, Arc::clone(&datagram));
    let identity = LocalIdentity {
        cluster: params.cluster,
        version: params.version,
        heartbeat: params.heartbeat,
        sealing: params.sealing,
    };
    let local_hello = LocalHelloSource::new(Arc::clone(&shared), identity);
    let accept =
        accept::accept(Arc::clone(&shared), listener, local_hello.clone(), reports.clone());
    shared.spawn("accept", accept);
    let receive = sockets::receive(Arc::clone(&shared), datagram, received);
    shared.spawn("gossip receiver", receive);

    let client = InternalClient::from_routed(Routed::new(NodeRef::Weak(Arc::downgrade(&shared))));
    let mut publisher = Publisher::default();
    publisher.mark_dirty();
    let now = env.now().saturating_duration_since(epoch);
    let region = shared.me().region().clone();
    let mut cluster = Cluster {
        shared: Arc::clone(&shared),
        tasks: Tasks { shared: Arc::clone(&shared), reports, local_hello, client },
        datagrams,
        epoch,
        membership,
        discovery,
        peers: PeerTable::new(region),
        dials: 0,
        questions: Vec::new(),
        conflicts: AddressConflicts::default(),
        gossip_watch: GossipWatch::default(),
        sync: SyncSchedule::new(now),
        publisher,
        readiness: Readiness::default(),
        primaries: PrimaryDisagreements::default(),
        leaving: None,
    };
    cluster.add_seeds(cluster.discovery.addresses().collect());
    cluster.step();
    shared.spawn("cluster", cluster.run(inputs));
}

/// The cluster task. Each field is a value that owns its state. Only this file, `link_events` and
/// `seed_events`, which contain the handlers for links and seeds, write the fields.
pub(super) struct Cluster {
    pub(super) shared: Arc<NodeShared>,
    pub(super) tasks: Tasks,
    /// The queue of datagrams to send.
    pub(super) datagrams: mpsc::Sender<(SocketAddr, Vec<u8>)>,
    epoch: Instant,
    pub(super) membership: Membership,
    pub(super) discovery: Discovery,
    pub(super) peers: PeerTable,
    /// The number of dial attempts in progress.
    dials: usize,
    /// The nodes to ping because another boot claims their address.
    pub(super) questions: Vec<NodeInfo>,
    pub(super) conflicts: AddressConflicts,
    pub(super) gossip_watch: GossipWatch,
    pub(super) sync: SyncSchedule,
    pub(super) publisher: Publisher,
    pub(super) readiness: Readiness,
    pub(super) primaries: PrimaryDisagreements,
    pub(super) leaving: Option<Leaving>,
}

impl Cluster {
    async fn run(mut self, mut inputs: Inputs) {
        let stop = self.shared.stop().clone();
        while !stop.is_cancelled() {
            let pause = self.next_due().saturating_sub(self.now());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                input = inputs.next() => self.on_input(input),
                () = tokio::time::sleep(pause) => {}
            }
            for _ in 0..BATCH {
                let turn = inputs.take_turn().map(|input| self.on_input(input)).count();
                if turn == 0 {
                    break;
                }
            }
            self.step();
        }
        for link in self.peers.links() {
            link.end(LinkError::ShutDown);
            let why = link.error().unwrap_or(LinkError::ShutDown).to_string();
            self.shared.notify(&Observed::LinkClosed(link.peer(), &why));
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.shared.env().now().saturating_duration_since(self.epoch)
    }

    /// Returns when [`step`](Self::step) next has something to do, if no input arrives before.
    fn next_due(&mut self) -> Duration {
        let now = self.now();
        if let Some(leaving) = &self.leaving {
            // A leaving node starts nothing new.
            return leaving.next_due(now);
        }
        // Addresses that are due wait until an attempt in progress ends. The end of an attempt is an
        // input.
        let next_dial = self.peers.next_dial().filter(|_| self.dials < MAX_DIALS);
        self.membership
            .next_timeout()
            .into_iter()
            .chain(self.discovery.next_due())
            .chain(next_dial)
            .chain(self.peers.next_readiness_deadline(now))
            .chain(self.readiness.next_due(now))
            .fold(self.sync.next_random(), Duration::min)
    }

    /// Performs the work that is due, and publishes changes.
    fn step(&mut self) {
        let now = self.now();
        self.membership.handle_timeout(now);
        self.drain_membership();
        self.poll_discovery();
        let is_alone = self.membership.is_alone();
        if self.leaving.is_none() {
            let due = self.peers.due_dials(now, MAX_DIALS.saturating_sub(self.dials));
            due.into_iter().for_each(|addr| self.dial(addr));
            if self.sync.poll_random(now, is_alone) {
                tracing::debug!(counters = ?self.membership.counters(), "gossip counters");
                self.enqueue_random_sync();
                self.warn_of_missing_gossip();
            }
        }
        self.discovery.set_alone(is_alone);
        let became_ready = self.readiness.update(now, &self.discovery, &self.peers);
        if became_ready {
            self.warn_of_seeds(is_alone);
            self.peers.on_ready();
        }
        if self.publisher.is_dirty() || became_ready {
            self.publisher.publish(&self.shared, &mut self.peers, self.readiness.is_ready());
        }
        if self.leaving.is_none() {
            // This must follow the publication, because these calls look for their links in the
            // table.
            self.questions.drain(..).for_each(|node| self.tasks.question(node));
            while let Some(node) = self.sync.poll_start() {
                self.tasks.sync_digest(node, self.membership.digests());
            }
        } else {
            self.finish_leaving();
        }
    }

    fn on_input(&mut self, input: Input) {
        match input {
            Input::Command(command) => self.on_command(command),
            Input::Message(message) => self.on_message(message),
            Input::Datagram(datagram) => self.on_datagram(&datagram),
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Dial { addr, done } => self.on_dial_request(addr, done),
            Command::Link { link, event } => self.on_link_event(&link, event),
            Command::StateChanged => {
                let state = self.shared.server().state();
                self.peers.links().for_each(|link| link.send_state(&state));
            }
            Command::SyncDigest { from, digests, reply } => {
                let local = self.membership.digests();
                let members = self.membership.difference(&digests);
                if local == digests {
                    self.on_synced_by_peer(&from);
                }
                // An error means that the peer has given up.
                let _ = reply.send((local, members));
            }
            Command::PushMembers { from, members, done } => {
                self.apply_members(&members);
                self.on_synced_by_peer(&from);
                // An error means that the peer has given up.
                let _ = done.send(());
            }
            Command::GossipAges { reply } => {
                // An error means that the caller has given up.
                let _ = reply.send(self.gossip_watch.ages(self.now()));
            }
            Command::Leave { within, at_most, done } => self.leave(within, at_most, done),
        }
    }

    fn on_message(&mut self, message: Message) {
        self.publisher.mark_dirty();
        match message {
            Message::Dialed(addr, result) => {
                self.dials -= 1;
                // Drawn even if it is unused, so that the result does not affect later random choices.
                let jitter = self.shared.env().random();
                match result {
                    Ok(visitor) if visitor.is_visitor() => {
                        let error = Malformed::new("hello of a visitor as an answer");
                        self.on_dial_failed(addr, &error.into(), jitter);
                    }
                    Ok(handshaken) => self.on_dialed(addr, *handshaken, jitter),
                    Err(DialError::SelfConnect) => self.on_self_connect(addr, jitter),
                    Err(error) => self.on_dial_failed(addr, &error, jitter),
                }
            }
            Message::Accepted(visitor) if visitor.is_visitor() => self.on_visitor(*visitor),
            Message::Accepted(handshaken) => drop(self.on_handshaken(*handshaken)),
            Message::Questioned(node, answered) => self.on_questioned(&node, answered),
            Message::Resolved(name, result) => self.on_resolved(&name, result),
            Message::Synced(node, result) => self.on_synced(&node, result),
        }
    }

    /// Handles a call that found no link to `addr`. Nothing is published until the attempt has ended,
    /// because any number of calls may request it.
    fn on_dial_request(&mut self, addr: SocketAddr, done: oneshot::Sender<bool>) {
        let known = self.peers.get(addr).map(|peer| (peer.link().is_some(), peer.awaits_dial()));
        match known {
            Some((false, true)) => {
                self.peers.entry(addr).add_waiter(done);
                self.dial(addr);
            }
            // An error means that the caller has given up.
            linked => drop(done.send(linked.is_some_and(|(is_linked, _)| is_linked))),
        }
    }

    fn dial(&mut self, addr: SocketAddr) {
        let (now, peer) = (self.now(), self.peers.entry(addr));
        if self.dials >= MAX_DIALS {
            peer.queue_dial(now);
        } else if peer.begin_dial(now) {
            self.dials += 1;
            self.shared.counters().on_dial();
            self.tasks.dial(addr);
        }
    }

    fn on_dialed(&mut self, addr: SocketAddr, handshaken: Handshaken, jitter: u64) {
        let now = self.now();
        self.discovery.on_reached(now, addr);
        let key = self.on_handshaken(handshaken);
        if key != addr.into() {
            let next_ask = |balancing| now + dial::ask_interval(balancing, jitter);
            self.peers.set_alias(addr, key, next_ask);
        }
        if let Some(peer) = self.peers.get_mut(addr) {
            peer.on_dialed();
        }
    }

    /// Handles a dial attempt that reached this node itself. This reveals nothing about other attempts,
    /// unless the address is this node's own. A load balancer may connect the next attempt to another
    /// node, and a connection to a local port without a listener can connect to itself.
    fn on_self_connect(&mut self, addr: SocketAddr, jitter: u64) {
        if self.discovery.is_local(addr) {
            self.discovery.on_self(addr);
            self.peers.remove(addr);
            return;
        }
        tracing::debug!(%addr, "the address reached this node itself; will retry");
        let (now, balancing) = (self.now(), Balancing::Observed);
        let next_ask = now + dial::ask_interval(balancing, jitter);
        if let Some(peer) = self.peers.get_mut(addr) {
            peer.on_self_connect(now, next_ask, jitter);
        }
    }

    fn on_dial_failed(&mut self, addr: SocketAddr, error: &DialError, jitter: u64) {
        self.shared.on_handshake(error.kind());
        let now = self.now();
        let Some(peer) = self.peers.get_mut(addr) else { return };
        // Another member may have invented a member that no link has ever reached. If the member is
        // alive, it refutes the suspicion.
        if let Some(member) = peer.take_unverified() {
            self.membership.suspect(now, &member);
        }
        if let Some(support) = peer.on_dial_failed(now, error, jitter) {
            match &support {
                // Usual when the nodes of a cluster start one after the other. That a link was lost was
                // already logged.
                Support::Unsupported(NoSupport::Unreachable(_)) => {
                    tracing::info!(%addr, %error, "nothing responds at the address; will retry");
                }
                _ => {
                    tracing::warn!(%addr, %error, "peer is not a compatible flyrpc node; will retry");
                }
            }
            let node = peer.info().cloned();
            self.publisher.emit_later(Event::SupportChanged { addr, node, support });
        }
    }

    /// Queues a sync with a random linked node.
    fn enqueue_random_sync(&mut self) {
        let now = self.now();
        let linked = self.peers.values().filter_map(|peer| peer.link());
        let linked: Vec<NodeInfo> = linked.map(|link| link.peer().clone()).collect();
        linked.iter().for_each(|node| self.discovery.on_reached(now, node.addr()));
        if !linked.is_empty() {
            let index = (self.shared.env().random() % linked.len() as u64) as usize;
            self.sync.enqueue(linked[index].clone());
        }
    }

    /// Warns of linked nodes from which no gossip arrives.
    fn warn_of_missing_gossip(&mut self) {
        for node in self.gossip_watch.take_silent(self.now()) {
            tracing::warn!(
                %node,
                addr = %node.addr(),
                "the link works but no gossip arrives from this node; check that UDP is allowed \
                 on the same port in both directions, and that both use the same IP version"
            );
        }
    }

    fn on_synced(&mut self, node: &NodeInfo, result: Result<Exchange, RpcError>) {
        self.sync.on_ended();
        let now = self.now();
        if let Some(peer) = self.peers.of_mut(node) {
            peer.on_synced(now);
        }
        let Exchange { digests, members } = match result {
            Ok(exchange) => exchange,
            Err(error) => return tracing::debug!(%node, %error, "membership sync failed"),
        };
        self.apply_members(&members);
        let missing = self.membership.difference(&digests);
        if !missing.is_empty() {
            self.tasks.push_members(node.id(), missing);
        }
    }

    /// Handles a sync that a peer has initiated. After that, this node need not sync with the peer.
    fn on_synced_by_peer(&mut self, node: &NodeInfo) {
        let now = self.now();
        if let Some(peer) = self.peers.of_mut(node) {
            peer.on_synced(now);
            self.publisher.mark_dirty();
        }
        self.sync.remove(node.addr());
    }

    fn apply_members(&mut self, members: &[MemberState]) {
        let now = self.now();
        self.membership.apply(now, members);
        self.drain_membership();
    }

    fn leave(&mut self, within: Duration, at_most: Duration, done: oneshot::Sender<()>) {
        let now = self.now();
        self.membership.leave(now);
        self.drain_membership();
        self.peers.links().for_each(|link| link.drain(GoAway::Leaving));
        self.leaving = Some(Leaving::new(now + within, now + at_most, done));
    }

    fn finish_leaving(&mut self) {
        let now = self.now();
        if let Some(leaving) = self.leaving.take_if(|leaving| leaving.is_over(now, &self.peers)) {
            leaving.finish();
            self.shared.stop().cancel();
        }
    }
}

/// Ends the links when the cluster task ends, for any reason. This task and the tasks of the links may
/// be dropped without another poll, along with the runtime or in a simulated crash. In that case,
/// nothing else would wake the calls that wait.
impl Drop for Cluster {
    fn drop(&mut self) {
        // The order matters, because a call whose link has ended reads the flag to determine the reason.
        self.shared.shut_down();
        self.shared.visitors().end();
        self.peers.links().for_each(|link| link.end(LinkError::ShutDown));
    }
}
