//! The nodes of a simulated cluster, the actions that affect them, and virtual time.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

#[cfg(test)]
use super::record::Record;
use super::{
    host::{Host, Message},
    ledger::{Boot, Ledger},
    network::Network,
    queue::Queue,
    traffic::Traffic,
};
use crate::{
    config::{Keyring, Sealing},
    proto::membership::{GossipSealing, Settings},
};

/// The cluster that nodes belong to by default.
pub(super) const CLUSTER: &str = "my-app";

/// How long a dial waits for a seed that does not respond.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a link may be silent before it is closed: five heartbeats.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(5);

/// The delay before a seed that left is dialed again.
const REDIAL_DELAY: Duration = Duration::from_secs(1);

/// The time over which the nodes of the initial cluster started, so that they do not act in lockstep.
const START_SPREAD: Duration = Duration::from_secs(2);

/// An action that happens at a certain time. Links are between boots of nodes.
pub(super) enum Action {
    Wake(usize),
    Datagram { to: usize, data: Vec<u8> },
    Sync(usize),
    Message { from: (usize, Boot), to: (usize, Boot), message: Message },
    Dial { by: (usize, Boot), seed: usize },
    Dialed { by: (usize, Boot), seed: usize, answers: Option<Boot> },
}

/// The numbered nodes of a cluster, and the network between them.
#[allow(missing_debug_implementations, reason = "too much to show")]
pub struct Sim {
    /// The nodes that each node lists.
    pub ledger: Ledger,
    /// Traffic, indexed by node.
    pub traffic: Vec<Traffic>,
    /// The network, whose faults can be changed at any time.
    pub network: Network,
    pub(super) now: Duration,
    pub(super) queue: Queue<Action>,
    pub(super) rng: Xoshiro256PlusPlus,
    pub(super) hosts: Vec<Option<Host>>,
    seeds: Vec<usize>,
    /// The keys with which all nodes seal their datagrams.
    keyring: Option<Keyring>,
    /// Needless renewals by boots that are no longer running.
    renewals: u64,
    /// Whether any boot of the node ever ran, indexed by node.
    used: Vec<bool>,
    #[cfg(test)]
    pub(super) record: Record,
}

impl Sim {
    /// Creates a cluster of `size` addresses, without running nodes. Nodes that start use `seeds`
    /// as their seeds.
    pub fn new(size: usize, seeds: Vec<usize>, network: Network, rng_seed: u64) -> Self {
        Sim {
            ledger: Ledger::new(size),
            traffic: vec![Traffic::default(); size],
            network,
            now: Duration::ZERO,
            queue: Queue::new(),
            rng: Xoshiro256PlusPlus::seed_from_u64(rng_seed),
            hosts: (0..size).map(|_| None).collect(),
            seeds,
            keyring: None,
            renewals: 0,
            used: vec![false; size],
            #[cfg(test)]
            record: Record::new(rng_seed),
        }
    }

    /// Seals the datagrams of nodes that start from now on.
    pub fn seal(&mut self, keyring: Keyring) {
        self.keyring = Some(keyring);
    }

    /// Starts nodes `0..nodes`, which already know each other.
    pub fn start_settled(&mut self, nodes: usize) {
        let mut hosts: Vec<_> = (0..nodes).map(|node| self.host(node)).collect();
        let all: Vec<_> = hosts.iter().flat_map(|host| host.membership.difference(&[])).collect();
        let boots: Vec<Boot> = hosts.iter().map(|host| host.boot).collect();
        for (node, host) in hosts.iter_mut().enumerate() {
            // Each node waits longer than this before its first probe, so none receives these
            // states too early.
            host.membership.apply(START_SPREAD.mul_f64(self.rng.random()), &all);
            host.next_sync = host.sync_period().mul_f64(self.rng.random());
            for seed in &mut host.seeds {
                seed.link(boots[seed.node]);
            }
            self.ledger.start(node, host.boot);
        }
        for (node, host) in hosts.into_iter().enumerate() {
            self.queue.add(host.next_sync, Action::Sync(node));
            self.used[node] = true;
            self.hosts[node] = Some(host);
            self.settle(node);
        }
    }

    /// Starts a node that knows only the seeds. Its boot number is random: it is as likely to be
    /// greater than an earlier boot's as to be less.
    pub fn start(&mut self, node: usize) -> Boot {
        let host = self.host(node);
        self.insert(node, host)
    }

    pub(super) fn insert(&mut self, node: usize, mut host: Host) -> Boot {
        host.is_restarted = std::mem::replace(&mut self.used[node], true);
        let boot = host.boot;
        self.queue.add(host.next_sync, Action::Sync(node));
        for seed in 0..host.seeds.len() {
            self.queue.add(self.now, Action::Dial { by: (node, boot), seed });
        }
        self.ledger.start(node, boot);
        self.hosts[node] = Some(host);
        self.settle(node);
        boot
    }

    /// Stops a node without notice. Nodes linked to it detect that by the missing heartbeats.
    pub fn crash(&mut self, node: usize) {
        if self.remove(node) {
            self.break_links(|_, seed| (seed == node).then_some(HEARTBEAT_TIMEOUT));
        }
    }

    /// Stops a node after it has announced that it leaves.
    pub fn leave(&mut self, node: usize) {
        let now = self.now;
        let Some(host) = &mut self.hosts[node] else { return };
        host.membership.leave(now);
        self.settle(node);
        self.remove(node);
        let delay = |other| self.network.delay(node, other) + REDIAL_DELAY;
        let delays: Vec<_> = (0..self.hosts.len()).map(delay).collect();
        self.break_links(|by, seed| (seed == node).then_some(delays[by]));
    }

    fn remove(&mut self, node: usize) -> bool {
        let Some(host) = self.hosts[node].take() else { return false };
        self.renewals += host.needless_renewals();
        self.ledger.stop(node);
        true
    }

    /// Freezes a node for `time`. Messages to it are kept until it thaws.
    ///
    /// # Panics
    ///
    /// Panics if the node is not running.
    pub fn freeze(&mut self, node: usize, time: Duration) {
        let thaws = self.now + time;
        self.hosts[node].as_mut().expect("the node is running").thaws = Some(thaws);
    }

    /// Splits the network into two parts, until it is healed.
    pub fn cut(&mut self, is_in_first: impl Fn(usize) -> bool) {
        self.break_links(|by, seed| {
            (is_in_first(by) != is_in_first(seed)).then_some(HEARTBEAT_TIMEOUT)
        });
        self.network.cut(self.hosts.len(), is_in_first);
    }

    /// Ends the partition.
    pub fn heal(&mut self) {
        self.network.heal();
    }

    /// The virtual time since the start.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Runs until `done` returns true, but at most for `time`. Returns whether `done` returned
    /// true.
    pub fn run(&mut self, time: Duration, done: impl Fn(&Sim) -> bool) -> bool {
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

    /// The running nodes.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        self.hosts.iter().enumerate().filter(|(_, host)| host.is_some()).map(|(node, _)| node)
    }

    /// The boot of a node, if it is running.
    pub fn boot(&self, node: usize) -> Option<Boot> {
        self.hosts[node].as_ref().map(|host| host.boot)
    }

    /// A random running node that is not a seed.
    pub fn any_node(&mut self) -> usize {
        loop {
            let node = self.rng.random_range(0..self.hosts.len());
            if self.hosts[node].is_some() && !self.seeds.contains(&node) {
                return node;
            }
        }
    }

    /// Number of needless identity renewals so far.
    pub fn needless_renewals(&self) -> u64 {
        self.renewals + self.hosts.iter().flatten().map(Host::needless_renewals).sum::<u64>()
    }

    /// Number of times the currently running boots have renewed their identities.
    pub fn renewals(&self) -> u64 {
        let renewals = |host: &Host| host.membership.counters().renewals;
        self.hosts.iter().flatten().map(renewals).sum()
    }

    fn host(&mut self, node: usize) -> Host {
        let boot = self.rng.random_range(1..Boot::MAX);
        let place = (node, self.network.region(node));
        let mut settings = Settings::new(CLUSTER);
        if let Some(keyring) = &self.keyring {
            let mode = Sealing::Sealed(keyring.clone());
            settings.sealing = GossipSealing { mode, salt: self.rng.random() };
        }
        Host::new(place, boot, &self.seeds, settings, self.rng.random(), self.now)
    }
}
