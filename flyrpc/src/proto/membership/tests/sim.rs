//! A cluster in virtual time: nodes that do with their membership what a runtime does, and a
//! network that delays, drops and cuts. Equal seeds give equal runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::{
    proto::membership::{Event, MemberState, Membership, Settings},
    types::{NodeId, NodeInfo, Region},
};

/// How often a node that is alone tries a seed.
const RETRY: Duration = Duration::from_secs(5);

/// How often a node compares its members with those of another.
const EXCHANGE: Duration = Duration::from_secs(30);

const REGIONS: usize = 10;

pub(super) fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

/// A node's runtime, as far as the membership needs one.
pub(super) struct Host {
    pub(super) membership: Membership,
    pub(super) info: NodeInfo,
    cluster: String,
    /// The live members as the events told.
    pub(super) listed: BTreeMap<NodeId, NodeInfo>,
    pub(super) events: Vec<(Duration, Event)>,
    seeds: Vec<usize>,
    wake: Option<Duration>,
    thaws: Option<Duration>,
}

enum Message {
    Datagram(Vec<u8>),
    /// The digests of whoever starts an exchange.
    Ask(Vec<u64>),
    Answer(Vec<u64>, Vec<MemberState>),
    Close(Vec<MemberState>),
}

enum Action {
    Deliver { from: usize, to: usize, boot: u64, message: Message },
    Wake(usize),
    Exchange { node: usize, boot: u64 },
}

pub(super) struct Sim {
    seed: u64,
    pub(super) now: Duration,
    pub(super) hosts: Vec<Option<Host>>,
    /// The share of datagrams that are lost.
    pub(super) loss: f64,
    /// Datagrams sent so far.
    pub(super) sent: usize,
    rng: Xoshiro256PlusPlus,
    queue: BTreeMap<(Duration, u64), Action>,
    scheduled: u64,
    /// The part of the network that a node is in. Nothing passes between parts.
    parts: Vec<u8>,
    trace: DefaultHasher,
}

impl Sim {
    /// A world of `size` addresses with nothing running.
    pub(super) fn empty(size: usize, seed: u64) -> Self {
        Sim {
            seed,
            now: Duration::ZERO,
            hosts: (0..size).map(|_| None).collect(),
            loss: 0.0,
            sent: 0,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            queue: BTreeMap::new(),
            scheduled: 0,
            parts: vec![0; size],
            trace: DefaultHasher::new(),
        }
    }

    /// A cluster whose nodes started one after another within 3 s, seeded with the first, once all
    /// know all and for a while on; and a few addresses to spare.
    pub(super) fn cluster(size: usize, seed: u64) -> Self {
        let mut sim = Sim::empty(size + 5, seed);
        for node in 0..size {
            let boot = sim.rng.random();
            sim.start(node, boot, &[0]);
            sim.run(secs(3.0 / size as f64));
        }
        sim.time_until(secs(60.0), Sim::agrees);
        sim.run(secs(10.0));
        sim
    }

    pub(super) fn start(&mut self, node: usize, boot: u64, seeds: &[usize]) {
        self.start_with(node, boot, seeds, Settings::new("app"));
    }

    pub(super) fn start_with(
        &mut self,
        node: usize,
        boot: u64,
        seeds: &[usize],
        settings: Settings,
    ) {
        let region = Region::from(format!("r{}", node % REGIONS));
        let info = NodeInfo::new(NodeId::new(format!("node-{node}"), boot), region, addr(node));
        let cluster = settings.cluster.clone();
        let membership = Membership::new(&info, settings, self.rng.random(), self.now).unwrap();
        let seeds = seeds.iter().copied().filter(|seed| *seed != node).collect();
        self.hosts[node] = Some(Host {
            membership,
            info,
            cluster,
            listed: BTreeMap::new(),
            events: Vec::new(),
            seeds,
            wake: None,
            thaws: None,
        });
        self.schedule(Duration::ZERO, Action::Exchange { node, boot });
    }

    /// Ends a node without a word.
    pub(super) fn crash(&mut self, node: usize) {
        self.hosts[node] = None;
    }

    pub(super) fn leave(&mut self, node: usize) {
        let now = self.now;
        self.host(node).membership.leave(now);
        self.settle(node);
        self.crash(node);
    }

    /// Stops a node for a while: what arrives is kept for it.
    pub(super) fn freeze(&mut self, node: usize, time: Duration) {
        let thaws = self.now + time;
        self.host(node).thaws = Some(thaws);
    }

    /// Puts `nodes` into another part of the network than the others; none to heal it.
    pub(super) fn partition(&mut self, nodes: impl IntoIterator<Item = usize>) {
        self.parts.fill(0);
        for node in nodes {
            self.parts[node] = 1;
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), action) = entry.remove_entry();
            self.now = at;
            self.act(action);
        }
        self.now = end;
    }

    /// How long it takes until `done`, looking every 100 ms.
    #[track_caller]
    pub(super) fn time_until(&mut self, limit: Duration, done: impl Fn(&Sim) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now - start < limit, "not within {limit:?}");
            self.run(secs(0.1));
        }
        self.now - start
    }

    pub(super) fn host(&mut self, node: usize) -> &mut Host {
        self.hosts[node].as_mut().expect("the node runs")
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().flatten()
    }

    /// Whether every running node lists exactly the others.
    pub(super) fn agrees(&self) -> bool {
        let all: BTreeSet<_> = self.running().map(|host| host.info.id()).collect();
        self.running().all(|host| {
            host.listed.len() + 1 == all.len() && host.listed.keys().all(|id| all.contains(id))
        })
    }

    /// Whether no running node lists `id`.
    pub(super) fn is_unlisted(&self, id: &NodeId) -> bool {
        self.running().all(|host| !host.listed.contains_key(id))
    }

    /// What all running nodes were told since `since`.
    pub(super) fn events_since(&self, since: Duration) -> Vec<(NodeId, Event)> {
        let of = |host: &Host| {
            let recent = host.events.iter().filter(|(at, _)| *at >= since).cloned();
            let id = host.info.id().clone();
            recent.map(move |(_, event)| (id.clone(), event)).collect::<Vec<_>>()
        };
        self.running().flat_map(of).collect()
    }

    pub(super) fn renewals(&self) -> u64 {
        self.running().map(|host| host.membership.counters().renewals).sum()
    }

    /// A digest of all that happened.
    pub(super) fn trace(&self) -> u64 {
        self.trace.finish()
    }

    fn act(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Wake(node) => {
                let Some(host) = &mut self.hosts[node] else { return };
                if host.wake != Some(now) {
                    return;
                }
                host.wake = None;
                if let Some(thaws) = host.thaws.filter(|thaws| *thaws > now) {
                    host.wake = Some(thaws);
                    return self.schedule(thaws - now, Action::Wake(node));
                }
                host.membership.handle_timeout(now);
                self.settle(node);
            }
            Action::Exchange { node, boot } => self.exchange(node, boot),
            Action::Deliver { from, to, boot, message } => self.deliver(from, to, boot, message),
        }
    }

    fn exchange(&mut self, node: usize, boot: u64) {
        let Some(host) = &self.hosts[node] else { return };
        if host.info.id().boot() != boot {
            return;
        }
        if let Some(thaws) = host.thaws.filter(|thaws| *thaws > self.now) {
            return self.schedule(thaws - self.now, Action::Exchange { node, boot });
        }
        let alone = host.membership.is_alone();
        let peers: Vec<_> = if alone {
            host.seeds.clone()
        } else {
            host.membership.members().map(|member| index(member.addr())).collect()
        };
        let digests = host.membership.digests();
        if !peers.is_empty() {
            let peer = peers[self.rng.random_range(0..peers.len())];
            self.send(node, peer, Message::Ask(digests));
        }
        let pause = if alone { RETRY } else { EXCHANGE };
        let pause = pause.mul_f64(self.rng.random_range(0.8..1.2));
        self.schedule(pause, Action::Exchange { node, boot });
    }

    fn deliver(&mut self, from: usize, to: usize, boot: u64, message: Message) {
        let now = self.now;
        let cluster = self.hosts[from].as_ref().map(|host| host.cluster.clone());
        let cut = self.parts[from] != self.parts[to];
        let Some(host) = self.hosts[to].as_mut().filter(|_| !cut) else { return };
        if let Some(thaws) = host.thaws.filter(|thaws| *thaws > now) {
            return self.schedule(thaws - now, Action::Deliver { from, to, boot, message });
        }
        // A connection ends with the process; datagrams reach whoever has the address now.
        let connected = host.info.id().boot() == boot;
        let membership = &mut host.membership;
        let reply = match message {
            Message::Datagram(data) => {
                self.trace.write(&data);
                membership.handle_datagram(now, &data);
                None
            }
            // The handshake of a link refuses other clusters.
            Message::Ask(theirs) if cluster.as_ref() == Some(&host.cluster) => {
                Some(Message::Answer(membership.digests(), membership.difference(&theirs)))
            }
            Message::Answer(theirs, states) if connected => {
                membership.apply(now, &states);
                Some(Message::Close(membership.difference(&theirs)))
            }
            Message::Close(states) if connected => {
                membership.apply(now, &states);
                None
            }
            Message::Ask(_) | Message::Answer(..) | Message::Close(_) => None,
        };
        if let Some(reply) = reply {
            self.send(to, from, reply);
        }
        self.settle(to);
    }

    /// Does what the runtime does after each call: sends, tells, and waits for the next timer.
    fn settle(&mut self, node: usize) {
        let Some(host) = &mut self.hosts[node] else { return };
        let now = self.now;
        let mut outgoing = Vec::new();
        while let Some((to, data)) = host.membership.poll_transmit() {
            assert!(data.len() <= 1200, "a datagram of {} bytes", data.len());
            outgoing.push((index(to), data));
        }
        while let Some(event) = host.membership.poll_event() {
            (node, now).hash(&mut self.trace);
            format!("{event:?}").hash(&mut self.trace);
            let changed = match &event {
                Event::Up(info) => host.listed.insert(info.id().clone(), info.clone()).is_none(),
                Event::Down(info) => host.listed.remove(info.id()).is_some(),
            };
            assert!(changed, "told twice: {event:?}");
            host.events.push((now, event));
        }
        assert!(host.membership.members().eq(values_by_addr(&host.listed)));
        let due = host.membership.next_timeout().map(|due| due.max(now));
        if due != host.wake {
            host.wake = due;
            if let Some(due) = due {
                self.schedule(due - now, Action::Wake(node));
            }
        }
        for (to, data) in outgoing {
            self.sent += 1;
            if to < self.hosts.len() && !self.rng.random_bool(self.loss) {
                self.send(node, to, Message::Datagram(data));
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        let boot = self.hosts[to].as_ref().map_or(0, |host| host.info.id().boot());
        let delay = latency(from, to).mul_f64(self.rng.random_range(1.0..1.15));
        self.schedule(delay, Action::Deliver { from, to, boot, message });
    }

    fn schedule(&mut self, after: Duration, action: Action) {
        self.scheduled += 1;
        self.queue.insert((self.now + after, self.scheduled), action);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, at {:?}", self.seed, self.now);
        }
    }
}

pub(super) fn addr(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (node / 250) as u8, (node % 250) as u8], 4000))
}

fn index(addr: SocketAddr) -> usize {
    let SocketAddr::V4(addr) = addr else { return usize::MAX };
    let [_, _, high, low] = addr.ip().octets();
    usize::from(high) * 250 + usize::from(low)
}

/// One way: half a millisecond within a region, 5 to 170 ms between regions.
fn latency(from: usize, to: usize) -> Duration {
    let (low, high) = ((from % REGIONS).min(to % REGIONS), (from % REGIONS).max(to % REGIONS));
    if low == high {
        return Duration::from_micros(500);
    }
    Duration::from_millis(5 + ((low * 37 + high * 61) % 166) as u64)
}

fn values_by_addr(listed: &BTreeMap<NodeId, NodeInfo>) -> impl Iterator<Item = &NodeInfo> {
    let by_addr: BTreeMap<_, _> = listed.values().map(|info| (info.addr(), info)).collect();
    by_addr.into_values()
}
