//! A cluster in virtual time: every node's membership, and a network between them.
//!
//! Of links there are only those to seeds, which are dialled again when they break: what else nodes
//! learn by a broken or a new link is left out.

use std::time::Duration;

use flyrpc::__membership::Event;
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::{
    host::{Host, Message},
    ledger::{Boot, Ledger},
    network::{self, Network},
    queue::Queue,
};

/// How long a dial waits for a seed that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a link is silent before it is given up: five heartbeats.
const SILENCE: Duration = Duration::from_secs(5);

/// The pause before a seed that left is dialled again.
const COURTESY: Duration = Duration::from_secs(1);

/// Within which time the nodes of a settled cluster started, so that they do not act in step.
const SPREAD: Duration = Duration::from_secs(2);

/// What a node sent and received.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    pub(crate) datagrams: u64,
    /// Bytes of datagrams sent, without IP's and UDP's headers.
    pub(crate) gossip: u64,
    /// Bytes sent over links to compare members.
    pub(crate) exchanges: u64,
    /// Bytes received, of either kind.
    pub(crate) received: u64,
}

impl Traffic {
    pub(crate) fn sent(&self) -> u64 {
        self.gossip + self.exchanges
    }

    pub(crate) fn all(&self) -> u64 {
        self.sent() + self.received
    }

    /// What of it came after `before`.
    pub(crate) fn since(&self, before: &Traffic) -> Traffic {
        Traffic {
            datagrams: self.datagrams - before.datagrams,
            gossip: self.gossip - before.gossip,
            exchanges: self.exchanges - before.exchanges,
            received: self.received - before.received,
        }
    }
}

enum Action {
    Wake(usize),
    Datagram { to: usize, data: Vec<u8> },
    Exchange(usize),
    Tell { from: (usize, Boot), to: (usize, Boot), message: Message },
    Dial { by: (usize, Boot), seed: usize },
    Dialled { by: (usize, Boot), seed: usize, answers: Option<Boot> },
}

/// The whole world.
pub(crate) struct Sim {
    pub(crate) ledger: Ledger,
    pub(crate) traffic: Vec<Traffic>,
    now: Duration,
    queue: Queue<Action>,
    rng: Xoshiro256PlusPlus,
    network: Network,
    hosts: Vec<Option<Host>>,
    seeds: Vec<usize>,
    /// Needless renewals of boots that run no more.
    renewals: u64,
}

impl Sim {
    /// A world of `size` addresses with nothing running; nodes are told of `seeds`.
    pub(crate) fn new(size: usize, seeds: Vec<usize>, loss: f64, rng_seed: u64) -> Self {
        Sim {
            ledger: Ledger::new(size),
            traffic: vec![Traffic::default(); size],
            now: Duration::ZERO,
            queue: Queue::new(),
            rng: Xoshiro256PlusPlus::seed_from_u64(rng_seed),
            network: Network::new(loss),
            hosts: (0..size).map(|_| None).collect(),
            seeds,
            renewals: 0,
        }
    }

    /// Starts nodes `0..nodes` knowing each other.
    pub(crate) fn start_settled(&mut self, nodes: usize) {
        let mut hosts: Vec<_> = (0..nodes).map(|node| self.host(node, Duration::ZERO)).collect();
        let all: Vec<_> = hosts.iter().flat_map(|host| host.membership.difference(&[])).collect();
        let boots: Vec<Boot> = hosts.iter().map(|host| host.boot).collect();
        for (node, host) in hosts.iter_mut().enumerate() {
            // Each waits before it probes for longer than this, so nobody hears of others too early.
            host.membership.apply(SPREAD.mul_f64(self.rng.random()), &all);
            host.next_exchange = host.exchange_period().mul_f64(self.rng.random());
            for seed in &mut host.seeds {
                seed.link(boots[seed.node]);
            }
            self.ledger.start(node, host.boot);
        }
        for (node, host) in hosts.into_iter().enumerate() {
            self.queue.add(host.next_exchange, Action::Exchange(node));
            self.hosts[node] = Some(host);
            self.settle(node);
        }
    }

    /// Starts a node that knows nothing but the seeds. Its number, if an earlier boot ran there, is
    /// as likely greater as less.
    pub(crate) fn start(&mut self, node: usize, is_restarted: bool) -> Boot {
        let mut host = self.host(node, self.now);
        host.is_restarted = is_restarted;
        let boot = host.boot;
        self.queue.add(host.next_exchange, Action::Exchange(node));
        for seed in 0..host.seeds.len() {
            self.queue.add(self.now, Action::Dial { by: (node, boot), seed });
        }
        self.ledger.start(node, boot);
        self.hosts[node] = Some(host);
        self.settle(node);
        boot
    }

    /// Ends a node without a word. Whoever is linked to it notices by its silence.
    pub(crate) fn crash(&mut self, node: usize) {
        let Some(host) = self.hosts[node].take() else { return };
        self.renewals += host.needless_renewals();
        self.ledger.stop(node);
        self.break_links(|_, seed| (seed == node).then_some(SILENCE));
    }

    /// Ends a node that says goodbye.
    pub(crate) fn leave(&mut self, node: usize) {
        let now = self.now;
        let Some(host) = &mut self.hosts[node] else { return };
        host.membership.leave(now);
        self.settle(node);
        let host = self.hosts[node].take().expect("it was there above");
        self.renewals += host.needless_renewals();
        self.ledger.stop(node);
        let delays: Vec<_> =
            (0..self.hosts.len()).map(|other| self.network.delay(node, other) + COURTESY).collect();
        self.break_links(|by, seed| (seed == node).then_some(delays[by]));
    }

    /// Cuts the network in two.
    pub(crate) fn cut(&mut self) {
        self.network.is_cut = true;
        self.break_links(|by, seed| {
            (network::is_on_first_side(by) != network::is_on_first_side(seed)).then_some(SILENCE)
        });
    }

    pub(crate) fn heal(&mut self) {
        self.network.is_cut = false;
    }

    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// Runs until `done`, or for `time`. Returns whether it is done.
    pub(crate) fn run(&mut self, time: Duration, done: impl Fn(&Sim) -> bool) -> bool {
        let end = self.now + time;
        if done(self) {
            return true;
        }
        while let Some((at, action)) = self.queue.next_until(end) {
            self.now = at;
            self.act(action);
            if done(self) {
                return true;
            }
        }
        self.now = end;
        false
    }

    /// The nodes that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = usize> {
        self.hosts.iter().enumerate().filter(|(_, host)| host.is_some()).map(|(node, _)| node)
    }

    pub(crate) fn boot(&self, node: usize) -> Option<Boot> {
        self.hosts[node].as_ref().map(|host| host.boot)
    }

    /// A node that runs and is no seed.
    pub(crate) fn any_node(&mut self) -> usize {
        loop {
            let node = self.rng.random_range(0..self.hosts.len());
            if self.hosts[node].is_some() && !self.seeds.contains(&node) {
                return node;
            }
        }
    }

    /// How often identities were renewed without need so far.
    pub(crate) fn needless_renewals(&self) -> u64 {
        self.renewals + self.hosts.iter().flatten().map(Host::needless_renewals).sum::<u64>()
    }

    /// How often the boots that run now renewed their identities.
    pub(crate) fn renewals(&self) -> u64 {
        let renewals = |host: &Host| host.membership.counters().renewals;
        self.hosts.iter().flatten().map(renewals).sum()
    }

    fn host(&mut self, node: usize, now: Duration) -> Host {
        let boot = self.rng.random_range(1..Boot::MAX);
        Host::new(node, boot, &self.seeds, self.rng.random(), now)
    }

    fn act(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Wake(node) => {
                let Some(host) = self.hosts[node].as_mut().filter(|host| host.wake == Some(now))
                else {
                    return;
                };
                host.wake = None;
                host.membership.handle_timeout(now);
                self.settle(node);
            }
            Action::Datagram { to, data } => {
                let Some(host) = &mut self.hosts[to] else { return };
                self.traffic[to].received += data.len() as u64;
                host.membership.handle_datagram(now, &data);
                self.settle(to);
            }
            Action::Exchange(node) => self.exchange(node),
            Action::Tell { from, to, message } => self.told(from, to, message),
            Action::Dial { by, seed } => self.dial(by, seed),
            Action::Dialled { by, seed, answers } => self.dialled(by, seed, answers),
        }
    }

    /// Does what a runtime does after each call: sends, notes, and waits for the next timer.
    fn settle(&mut self, node: usize) {
        let now = self.now;
        let Some(host) = &mut self.hosts[node] else { return };
        while let Some(event) = host.membership.poll_event() {
            match event {
                Event::Up(info) => {
                    self.ledger.list(now, node, network::node_at(info.addr()), info.id().boot());
                }
                Event::Down(info) => {
                    self.ledger.unlist(now, node, network::node_at(info.addr()), info.id().boot());
                }
            }
        }
        let due = host.membership.next_timeout().map(|due| due.max(now));
        if due != host.wake {
            host.wake = due;
            if let Some(due) = due {
                self.queue.add(due, Action::Wake(node));
            }
        }
        let latest = now + host.exchange_period();
        if latest < host.next_exchange {
            host.next_exchange = latest;
            self.queue.add(latest, Action::Exchange(node));
        }
        while let Some((to, data)) = host.membership.poll_transmit() {
            let to = network::node_at(to);
            self.traffic[node].datagrams += 1;
            self.traffic[node].gossip += data.len() as u64;
            let lost = self.network.loss > 0.0 && self.rng.random_bool(self.network.loss);
            if !lost && self.network.passes(node, to) {
                self.queue.add(now + self.network.delay(node, to), Action::Datagram { to, data });
            }
        }
    }

    /// Compares members with a random peer, if that is due.
    fn exchange(&mut self, node: usize) {
        let now = self.now;
        let Some(host) = self.hosts[node].as_mut().filter(|host| host.next_exchange == now) else {
            return;
        };
        host.next_exchange = now + host.exchange_period();
        self.queue.add(host.next_exchange, Action::Exchange(node));
        let linked = host.seeds.iter().filter_map(|seed| Some((seed.node, seed.linked?)));
        let mut peers: Vec<(usize, Boot)> = linked.collect();
        let listed = self.ledger.list_of(node).filter(|other| !self.seeds.contains(other));
        peers.extend(listed.filter_map(|other| Some((other, self.ledger.listed(node, other)?))));
        if !peers.is_empty() {
            let peer = peers[self.rng.random_range(0..peers.len())];
            let ask = Message::Ask(host.membership.digests());
            let from = (node, host.boot);
            self.tell(from, peer, ask);
        }
    }

    fn tell(&mut self, from: (usize, Boot), to: (usize, Boot), message: Message) {
        if self.network.passes(from.0, to.0) {
            self.traffic[from.0].exchanges += message.length();
            let at = self.now + self.network.delay(from.0, to.0);
            self.queue.add(at, Action::Tell { from, to, message });
        }
    }

    fn told(&mut self, from: (usize, Boot), to: (usize, Boot), message: Message) {
        let now = self.now;
        let Some(host) = self.hosts[to.0].as_mut().filter(|host| host.boot == to.1) else { return };
        self.traffic[to.0].received += message.length();
        let membership = &mut host.membership;
        let reply = match message {
            Message::Ask(theirs) => {
                Some(Message::Answer(membership.digests(), membership.difference(&theirs)))
            }
            Message::Answer(theirs, states) => {
                membership.apply(now, &states);
                let news = membership.difference(&theirs);
                (!news.is_empty()).then_some(Message::Learn(news))
            }
            Message::Learn(states) => {
                membership.apply(now, &states);
                None
            }
        };
        if let Some(reply) = reply {
            self.tell(to, from, reply);
        }
        self.settle(to.0);
    }

    /// Dials a seed: a round trip to connect, another to say hello.
    fn dial(&mut self, by: (usize, Boot), seed: usize) {
        let Some(host) = self.hosts[by.0].as_ref().filter(|host| host.boot == by.1) else { return };
        let to = host.seeds[seed].node;
        let trip = 2 * self.network.delay(by.0, to);
        let (takes, answers) = match self.boot(to) {
            _ if !self.network.passes(by.0, to) => (PATIENCE, None),
            None => (trip, None),
            answers => (2 * trip, answers),
        };
        self.queue.add(self.now + takes, Action::Dialled { by, seed, answers });
    }

    fn dialled(&mut self, by: (usize, Boot), seed: usize, answers: Option<Boot>) {
        let Some(host) = self.hosts[by.0].as_mut().filter(|host| host.boot == by.1) else { return };
        let seed_node = host.seeds[seed].node;
        let running = self.hosts[seed_node].as_ref().map(|host| host.boot);
        let host = self.hosts[by.0].as_mut().expect("it was there above");
        let Some(boot) =
            answers.filter(|boot| running == Some(*boot) && self.network.passes(by.0, seed_node))
        else {
            let pause = host.seeds[seed].backoff(self.rng.random());
            return self.queue.add(self.now + pause, Action::Dial { by, seed });
        };
        host.seeds[seed].link(boot);
        let ask = Message::Ask(host.membership.digests());
        self.tell(by, (seed_node, boot), ask);
        // The seed compares too, unless it knows this node already.
        if self.ledger.listed(seed_node, by.0) != Some(by.1)
            && let Some(seed) = &self.hosts[seed_node]
        {
            let ask = Message::Ask(seed.membership.digests());
            self.tell((seed_node, boot), by, ask);
        }
    }

    /// Breaks the links to seeds for which `pause` says when they are dialled again.
    fn break_links(&mut self, pause: impl Fn(usize, usize) -> Option<Duration>) {
        for (node, host) in self.hosts.iter_mut().enumerate() {
            let Some(host) = host else { continue };
            for (number, seed) in host.seeds.iter_mut().enumerate() {
                if let Some(pause) = pause(node, seed.node)
                    && seed.linked.take().is_some()
                {
                    let dial = Action::Dial { by: (node, host.boot), seed: number };
                    self.queue.add(self.now + pause, dial);
                }
            }
        }
    }
}
