//! The runtime's work around a node's membership: delivering datagrams, arming the timer, dialing
//! seeds and syncing members.

use std::time::Duration;

use rand::RngExt;

#[cfg(test)]
use super::record;
use super::{
    host::{Host, Message},
    ledger::Boot,
    network,
    simulation::{Action, DIAL_TIMEOUT, Sim},
};
use crate::proto::membership::Event;

impl Action {
    /// The node that the action concerns.
    fn node(&self) -> usize {
        match *self {
            Action::Wake(node) | Action::Sync(node) => node,
            Action::Datagram { to, .. } => to,
            Action::Message { to, .. } => to.0,
            Action::Dial { by, .. } | Action::Dialed { by, .. } => by.0,
        }
    }
}

impl Sim {
    pub(super) fn act(&mut self, action: Action) {
        let node = action.node();
        let thaws = self.hosts[node].as_ref().and_then(|host| host.thaws);
        if let Some(thaws) = thaws.filter(|thaws| *thaws > self.now) {
            return self.defer(action, thaws);
        }
        match action {
            Action::Wake(node) => self.wake(node),
            Action::Datagram { to, data } => self.on_datagram(to, &data),
            Action::Sync(node) => self.sync(node),
            Action::Message { from, to, message } => self.on_message(from, to, message),
            Action::Dial { by, seed } => self.dial(by, seed),
            Action::Dialed { by, seed, answers } => self.on_dialed(by, seed, answers),
        }
    }

    /// Reschedules an action for a frozen node to the time when it thaws.
    fn defer(&mut self, action: Action, thaws: Duration) {
        let host = self.hosts[action.node()].as_mut().expect("a frozen node is running");
        match action {
            Action::Wake(_) if host.wake == Some(self.now) => host.wake = Some(thaws),
            Action::Sync(_) if host.next_sync == self.now => host.next_sync = thaws,
            // A later action of the same kind superseded this one.
            Action::Wake(_) | Action::Sync(_) => return,
            _ => {}
        }
        self.queue.add(thaws, action);
    }

    fn wake(&mut self, node: usize) {
        let now = self.now;
        let host = self.hosts[node].as_mut().filter(|host| host.wake == Some(now));
        let Some(host) = host else { return };
        host.wake = None;
        host.membership.handle_timeout(now);
        self.settle(node);
    }

    fn on_datagram(&mut self, to: usize, data: &[u8]) {
        let Some(host) = &mut self.hosts[to] else { return };
        #[cfg(test)]
        self.record.on_datagram(data);
        self.traffic[to].received += data.len() as u64;
        host.membership.handle_datagram(self.now, data, |_| true);
        self.settle(to);
    }

    /// Does what the runtime does after each call: sends datagrams, records events and arms the
    /// timer.
    pub(super) fn settle(&mut self, node: usize) {
        let now = self.now;
        let Some(host) = &mut self.hosts[node] else { return };
        while let Some(event) = host.membership.poll_event() {
            #[cfg(test)]
            self.record.on_event(now, (node, host.boot), &event);
            match event {
                Event::Up(info) => {
                    self.ledger.list(now, node, network::node_at(info.addr()), info.id().boot());
                }
                Event::Down(info) | Event::Left(info) => {
                    self.ledger.unlist(now, node, network::node_at(info.addr()), info.id().boot());
                }
            }
        }
        #[cfg(test)]
        record::assert_consistent(node, host, &self.ledger);
        let due = host.membership.next_timeout().map(|due| due.max(now));
        if due != host.wake {
            host.wake = due;
            if let Some(due) = due {
                self.queue.add(due, Action::Wake(node));
            }
        }
        let latest = now + host.sync_period();
        if latest < host.next_sync {
            host.next_sync = latest;
            self.queue.add(latest, Action::Sync(node));
        }
        while let Some((to, data)) = host.membership.poll_transmit() {
            #[cfg(test)]
            assert!(data.len() <= 1200, "a datagram of {} bytes", data.len());
            let to = network::node_at(to);
            self.traffic[node].datagrams += 1;
            self.traffic[node].gossip += data.len() as u64;
            let lost = self.network.loses(&mut self.rng);
            if !lost && self.network.passes(node, to) {
                let at = now + self.network.trip(node, to, &mut self.rng);
                self.queue.add(at, Action::Datagram { to, data });
            }
        }
    }

    /// Syncs members with a random peer, if a sync is due.
    fn sync(&mut self, node: usize) {
        let now = self.now;
        let Some(host) = self.hosts[node].as_mut().filter(|host| host.next_sync == now) else {
            return;
        };
        host.next_sync = now + host.sync_period();
        self.queue.add(host.next_sync, Action::Sync(node));
        let linked = host.seeds.iter().filter_map(|seed| Some((seed.node, seed.linked?)));
        let mut peers: Vec<(usize, Boot)> = linked.collect();
        let is_seed = |node: usize| host.seeds.iter().any(|seed| seed.node == node);
        let listed = self.ledger.list_of(node).filter(|other| !is_seed(*other));
        peers.extend(listed.filter_map(|other| Some((other, self.ledger.listed(node, other)?))));
        if !peers.is_empty() {
            let peer = peers[self.rng.random_range(0..peers.len())];
            let digests = Message::Digests(host.membership.digests());
            let from = (node, host.boot);
            self.send(from, peer, digests);
        }
    }

    fn send(&mut self, from: (usize, Boot), to: (usize, Boot), message: Message) {
        if self.network.passes(from.0, to.0) {
            self.traffic[from.0].syncs += message.length();
            let at = self.now + self.network.trip(from.0, to.0, &mut self.rng);
            self.queue.add(at, Action::Message { from, to, message });
        }
    }

    fn on_message(&mut self, from: (usize, Boot), to: (usize, Boot), message: Message) {
        let now = self.now;
        let Some(host) = self.hosts[to.0].as_mut().filter(|host| host.boot == to.1) else { return };
        self.traffic[to.0].received += message.length();
        let membership = &mut host.membership;
        let reply = match message {
            Message::Digests(theirs) => {
                Some(Message::Response(membership.digests(), membership.difference(&theirs)))
            }
            Message::Response(theirs, states) => {
                membership.apply(now, &states);
                let missing = membership.difference(&theirs);
                (!missing.is_empty()).then_some(Message::Members(missing))
            }
            Message::Members(states) => {
                membership.apply(now, &states);
                None
            }
        };
        if let Some(reply) = reply {
            self.send(to, from, reply);
        }
        self.settle(to.0);
    }

    /// Dials a seed. Connecting takes one round trip and the handshake takes another.
    fn dial(&mut self, by: (usize, Boot), seed: usize) {
        let Some(host) = self.hosts[by.0].as_ref().filter(|host| host.boot == by.1) else { return };
        let to = host.seeds[seed].node;
        let trip = match self.network.instant_dials {
            true => Duration::ZERO,
            false => 2 * self.network.delay(by.0, to),
        };
        let (takes, answers) = match self.boot(to) {
            _ if !self.network.passes(by.0, to) => (DIAL_TIMEOUT, None),
            None => (trip, None),
            answers => (2 * trip, answers),
        };
        self.queue.add(self.now + takes, Action::Dialed { by, seed, answers });
    }

    fn on_dialed(&mut self, by: (usize, Boot), seed: usize, answers: Option<Boot>) {
        let Some(host) = self.hosts[by.0].as_ref().filter(|host| host.boot == by.1) else { return };
        let seed_node = host.seeds[seed].node;
        let running = self.hosts[seed_node].as_ref();
        let accepts = |other: &Host| Some(other.boot) == answers && other.cluster == host.cluster;
        let accepted = running.filter(|other| accepts(other)).map(|other| other.boot);
        let host = self.hosts[by.0].as_mut().expect("the host was present above");
        let Some(boot) = accepted.filter(|_| self.network.passes(by.0, seed_node)) else {
            let pause = host.seeds[seed].backoff(self.rng.random());
            return self.queue.add(self.now + pause, Action::Dial { by, seed });
        };
        host.seeds[seed].link(boot);
        let digests = Message::Digests(host.membership.digests());
        self.send(by, (seed_node, boot), digests);
        // The seed also starts a sync, unless it already lists this node.
        if self.ledger.listed(seed_node, by.0) != Some(by.1)
            && let Some(seed) = &self.hosts[seed_node]
        {
            let digests = Message::Digests(seed.membership.digests());
            self.send((seed_node, boot), by, digests);
        }
    }

    /// Breaks the links to the seeds for which `pause`, called with the node and the seed, returns
    /// the time until they are dialed again.
    pub(super) fn break_links(&mut self, pause: impl Fn(usize, usize) -> Option<Duration>) {
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
