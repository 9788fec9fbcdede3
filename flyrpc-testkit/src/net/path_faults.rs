//! Faults on the paths between hosts.

use std::time::Duration;

use super::{
    checks::{assert_bandwidth, assert_share, check_scopes, find_scope},
    guard::{FaultGuard, Undo},
    sim_net::SimNet,
    state::{Direction, Fault, FaultEvent, FaultScope, Rule},
};
use crate::latency::assert_whole_milliseconds;

/// Faults between places. A place is the name of a host, or of a region for all hosts in it. Where
/// both places may be the same region, the fault is on the paths between its hosts. A host always
/// reaches itself.
///
/// # Panics
///
/// All of these panic if a name is neither a host's nor a region's with hosts, and those that
/// start a fault if both names are the same host's.
impl SimNet {
    /// Drops all messages between two places, in both directions.
    ///
    /// Bytes written to streams stay with their sender, as do those in flight that would arrive
    /// during the partition; both are sent once it has healed. Datagrams are lost.
    ///
    /// # Panics
    ///
    /// If both places are the same. `partition("iad-0", "iad")` isolates a host from its region.
    #[track_caller]
    pub fn partition(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.fault(a.as_ref(), b.as_ref(), Direction::Both, Fault::Cut)
    }

    /// Drops all messages from one place to another, and leaves the other direction open.
    ///
    /// # Panics
    ///
    /// If both places are the same.
    #[track_caller]
    pub fn partition_one_way(&self, from: impl AsRef<str>, to: impl AsRef<str>) -> FaultGuard {
        self.fault(from.as_ref(), to.as_ref(), Direction::OneWay, Fault::Cut)
    }

    /// Holds messages between two places, datagrams included, until the guard is dropped, which
    /// releases them.
    ///
    /// # Panics
    ///
    /// If both places are the same.
    #[track_caller]
    pub fn hold(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.fault(a.as_ref(), b.as_ref(), Direction::Both, Fault::Hold)
    }

    /// Adds `extra` to the delay of each direction between two places, so twice that to a round trip.
    ///
    /// # Panics
    ///
    /// If `extra` is not a whole number of milliseconds.
    #[track_caller]
    pub fn slow(&self, a: impl AsRef<str>, b: impl AsRef<str>, extra: Duration) -> FaultGuard {
        assert_whole_milliseconds(extra);
        self.fault(a.as_ref(), b.as_ref(), Direction::Both, Fault::Slow(extra))
    }

    /// Delays each message between two places, in either direction, by 0 to `up_to` more, a whole
    /// number of milliseconds that follows from the seed. Streams keep their order, datagrams can
    /// overtake each other. The bounds of several of these add up.
    ///
    /// # Panics
    ///
    /// If `up_to` is not a whole number of milliseconds.
    #[track_caller]
    pub fn jitter(&self, a: impl AsRef<str>, b: impl AsRef<str>, up_to: Duration) -> FaultGuard {
        assert_whole_milliseconds(up_to);
        self.fault(a.as_ref(), b.as_ref(), Direction::Both, Fault::Jitter(up_to))
    }

    /// Loses this share of the datagrams between two places, 0 for none and 1 for all; which ones
    /// follows from the seed. Streams lose nothing.
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    #[track_caller]
    pub fn lose(&self, a: impl AsRef<str>, b: impl AsRef<str>, share: f64) -> FaultGuard {
        assert_share(share);
        self.fault(a.as_ref(), b.as_ref(), Direction::Both, Fault::Lose(share))
    }

    /// Drops the messages of streams between two places, and lets datagrams pass, as a firewall does
    /// that filters TCP. Connections hang, and so do attempts to connect. What was written arrives once
    /// the fault has ended.
    #[track_caller]
    pub fn filter_tcp(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.fault(a.as_ref(), b.as_ref(), Direction::Both, Fault::FilterTcp)
    }

    /// Limits the bandwidth of each path from a host to another between two places, as
    /// [`SimNetBuilder::bandwidth`](crate::SimNetBuilder::bandwidth) does; the lowest of several
    /// limits applies.
    ///
    /// # Panics
    ///
    /// If `bytes_per_second` is 0.
    #[track_caller]
    pub fn throttle(
        &self,
        a: impl AsRef<str>,
        b: impl AsRef<str>,
        bytes_per_second: u64,
    ) -> FaultGuard {
        assert_bandwidth(bytes_per_second);
        self.fault(a.as_ref(), b.as_ref(), Direction::Both, Fault::Throttle(bytes_per_second))
    }

    /// Ends every fault that was set between exactly these two places, in either order, whether its
    /// guard was kept or not.
    #[track_caller]
    pub fn heal(&self, a: impl AsRef<str>, b: impl AsRef<str>) {
        let (a, b) = (self.scope(a.as_ref()), self.scope(b.as_ref()));
        self.shared.with(|core| core.heal(|_, rule| rule.is_between(a, b)));
    }

    /// Ends every hold that was set between exactly these two places, in either order, whether its
    /// guard was kept or not. Other faults between them stay.
    #[track_caller]
    pub fn release(&self, a: impl AsRef<str>, b: impl AsRef<str>) {
        let (a, b) = (self.scope(a.as_ref()), self.scope(b.as_ref()));
        self.shared
            .with(|core| core.heal(|_, rule| rule.fault == Fault::Hold && rule.is_between(a, b)));
    }

    /// Ends every fault between places. Hosts stay crashed or frozen, and clocks as they are.
    pub fn heal_all(&self) {
        self.shared.with(|core| core.heal(|_, _| true));
    }

    #[track_caller]
    fn fault(&self, from: &str, to: &str, direction: Direction, fault: Fault) -> FaultGuard {
        let (from, to) = (self.scope(from), self.scope(to));
        let checked = check_scopes(&self.shared.lock().fabric.topology, from, to, fault);
        if let Err(message) = checked {
            panic!("{message}");
        }
        FaultGuard::start(&self.shared, |core, id| {
            let rule = Rule { from, to, direction, fault };
            core.fabric.faults.add(id, rule);
            core.emit_path_event(rule, FaultEvent::Started);
            Undo::Rule
        })
    }

    /// Looked up before the fault starts, so that the panic has the location of the caller.
    #[track_caller]
    fn scope(&self, name: &str) -> FaultScope {
        let found = find_scope(&self.shared.lock().fabric.topology, name);
        match found {
            Ok(scope) => scope,
            Err(message) => panic!("{message}"),
        }
    }
}
