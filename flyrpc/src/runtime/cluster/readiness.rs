//! Whether the initial search for nodes is complete.

use std::{net::SocketAddr, time::Duration};

use super::peer_table::PeerTable;
use crate::proto::discovery::Discovery;

/// Once one address of a name has answered, readiness waits at most this long for its other addresses.
const ALTERNATIVES_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether the node no longer waits for any initial address of discovery.
///
/// Once a node was found at one address of a name, some of its other addresses need not settle: the
/// addresses that could not be reached, and the addresses of the other family if one family has settled.
/// A name often lists addresses of a family that does not work on this machine.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    is_ready: bool,
    /// The address that blocked readiness last time.
    blocker: Option<SocketAddr>,
    /// When an alternative to the blocker answered, if any has.
    answered: Option<Duration>,
}

impl Readiness {
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Checks again. Returns whether the node has become ready since the last check.
    pub(super) fn update(
        &mut self,
        now: Duration,
        discovery: &Discovery,
        peers: &PeerTable,
    ) -> bool {
        if self.is_ready {
            return false;
        }
        // Fast path: re-check the address that blocked readiness last time.
        if self.blocker.is_some_and(|addr| self.is_blocked_by(addr, now, discovery, peers)) {
            return false;
        }
        let Some(initial) = discovery.initial_addresses() else { return false };
        for &addr in initial {
            self.answered = None;
            if self.is_blocked_by(addr, now, discovery, peers) {
                self.blocker = Some(addr);
                return false;
            }
        }
        self.is_ready = true;
        true
    }

    /// Returns the next time after `now` at which the blocker may no longer block.
    pub(super) fn next_due(&self, now: Duration) -> Option<Duration> {
        let due = self.answered.filter(|_| !self.is_ready)? + ALTERNATIVES_TIMEOUT;
        (due > now).then_some(due)
    }

    fn is_blocked_by(
        &mut self,
        addr: SocketAddr,
        now: Duration,
        discovery: &Discovery,
        peers: &PeerTable,
    ) -> bool {
        if peers.is_settled(addr, now) {
            return false;
        }
        if self.answered.is_none() {
            let answers = discovery.alternatives(addr).filter_map(|other| peers.synced_at(other));
            self.answered = answers.min();
        }
        let Some(answered) = self.answered else { return true };
        let in_time = now < answered + ALTERNATIVES_TIMEOUT;
        in_time && !peers.has_failed(addr) && !other_family_settled(addr, now, discovery, peers)
    }
}

/// Returns whether the addresses of the other family, in the names that list `addr`, have settled, and a
/// node was found at one of them.
fn other_family_settled(
    addr: SocketAddr,
    now: Duration,
    discovery: &Discovery,
    peers: &PeerTable,
) -> bool {
    let mut found = false;
    let family = discovery.alternatives(addr).filter(|other| other.is_ipv4() != addr.is_ipv4());
    for other in family {
        if !peers.is_settled(other, now) && !peers.has_failed(other) {
            return false;
        }
        found |= peers.synced_at(other).is_some();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Seed, runtime::link::DialError, types::Region};

    #[test]
    fn a_node_is_ready_once_each_initial_address_has_synced_or_run_out_of_time() {
        let seeds = Seed::parse_list("10.0.0.1:1 10.0.0.2:1").unwrap();
        let discovery = Discovery::new(seeds, []);
        let (mut peers, mut readiness) = (PeerTable::new(Region::LOCAL), Readiness::default());
        for addr in discovery.addresses() {
            peers.entry(addr).set_seed(true);
            peers.entry(addr).begin_dial(Duration::ZERO);
        }
        let mut update = |secs, peers: &PeerTable| {
            readiness.update(Duration::from_secs(secs), &discovery, peers)
        };
        assert!(!update(0, &peers));
        peers.entry(SocketAddr::from(([10, 0, 0, 1], 1))).on_synced(Duration::ZERO);
        assert_eq!([update(4, &peers), update(5, &peers), update(6, &peers)], [false, true, false]);
        assert!(readiness.is_ready());
    }

    /// The peers and the readiness of a node whose only seed is a name that lists `addrs`.
    struct Sim {
        discovery: Discovery,
        peers: PeerTable,
        readiness: Readiness,
    }

    impl Sim {
        fn new(addrs: &[&str]) -> Self {
            let seeds = Seed::parse_list("db.internal:1").unwrap();
            let mut discovery = Discovery::new(seeds, []);
            let name = discovery.due(Duration::ZERO).resolve.remove(0);
            let addrs = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
            let mut peers = PeerTable::new(Region::LOCAL);
            for addr in discovery.on_resolved(Duration::ZERO, &name, Ok(addrs)) {
                peers.entry(addr).set_seed(true);
                peers.entry(addr).begin_dial(Duration::ZERO);
            }
            Sim { discovery, peers, readiness: Readiness::default() }
        }

        fn sync(&mut self, millis: u64, addr: &str) {
            let now = Duration::from_millis(millis);
            self.peers.entry(addr.parse::<SocketAddr>().unwrap()).on_synced(now);
        }

        fn fail(&mut self, addr: &str) {
            let peer = self.peers.entry(addr.parse::<SocketAddr>().unwrap());
            peer.on_dial_failed(Duration::ZERO, &DialError::ConnectTimeout, 512);
        }

        fn is_ready(&mut self, millis: u64) -> bool {
            let now = Duration::from_millis(millis);
            self.readiness.update(now, &self.discovery, &self.peers) || self.readiness.is_ready()
        }
    }

    #[test]
    fn a_name_needs_only_one_family_of_its_addresses() {
        let mut sim = Sim::new(&["10.0.0.1:1", "10.0.0.2:1", "[fd00::1]:1", "[fd00::2]:1"]);
        sim.sync(100, "10.0.0.1:1");
        assert!(!sim.is_ready(100), "the other address of the family has not settled");
        sim.sync(100, "10.0.0.2:1");
        assert!(sim.is_ready(200));
    }

    #[test]
    fn an_address_that_fails_need_not_settle_once_another_of_its_name_has_answered() {
        let mut sim = Sim::new(&["10.0.0.1:1", "10.0.0.2:1"]);
        sim.fail("10.0.0.1:1");
        assert!(!sim.is_ready(100));
        sim.sync(100, "10.0.0.2:1");
        assert!(sim.is_ready(200));
    }

    #[test]
    fn an_address_that_hangs_is_given_up_a_second_after_another_of_its_name_has_answered() {
        let mut sim = Sim::new(&["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]);
        assert!(!sim.is_ready(100));
        sim.sync(200, "10.0.0.2:1");
        assert!(!sim.is_ready(200));
        assert_eq!(sim.readiness.next_due(Duration::ZERO), Some(Duration::from_millis(1_200)));
        assert!(sim.is_ready(1_200));
    }
}
