//! Recordings of a simulation for unit tests, in addition to its ledger.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use super::{
    host::{self, Host},
    ledger::{Boot, Ledger},
    network,
};
use crate::{proto::membership::Event, types::NodeId};

/// All events of all nodes, and a digest of all datagrams and events.
pub(super) struct Record {
    seed: u64,
    pub(super) events: Vec<(Duration, NodeId, Event)>,
    pub(super) trace: DefaultHasher,
}

impl Record {
    pub(super) fn new(seed: u64) -> Self {
        Record { seed, events: Vec::new(), trace: DefaultHasher::new() }
    }

    pub(super) fn on_datagram(&mut self, data: &[u8]) {
        self.trace.write(data);
    }

    pub(super) fn on_event(&mut self, now: Duration, (node, boot): (usize, Boot), event: &Event) {
        (node, now).hash(&mut self.trace);
        format!("{event:?}").hash(&mut self.trace);
        self.events.push((now, host::id(node, boot), event.clone()));
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.seed);
        }
    }
}

/// Asserts that the events of a node add up to its members.
pub(super) fn assert_consistent(node: usize, host: &Host, ledger: &Ledger) {
    let members = host.membership.members();
    let members = members.map(|info| (network::node_at(info.addr()), info.id().clone()));
    let listed =
        ledger.list_of(node).filter_map(|other| Some((other, ledger.listed(node, other)?)));
    assert!(members.eq(listed.map(|(other, boot)| (other, host::id(other, boot)))));
}
