//! Faults on the paths between hosts.

use std::time::Duration;

use super::{
    checks::{assert_bandwidth, assert_share, check_scopes, find_scope},
    guard::{FaultGuard, Undo},
    sim_net::SimNet,
    state::{Direction, Fault, FaultEvent, FaultScope, Rule},
};
use crate::latency::assert_whole_milliseconds;

/// Faults between two scopes. A scope is the name of a host, or of a region, which stands for all its
/// hosts. If a method allows the same region for both scopes, the fault applies to the paths between
/// the hosts of that region. A host always reaches itself.
///
/// # Panics
///
/// All methods that take scopes panic if a name is neither a host nor a region with hosts. Methods
/// that start a fault also panic if both scopes are the same host.
impl SimNet {
    /// Blocks all messages between two scopes, in both directions.
    ///
    /// Stream bytes written during the partition are buffered at the sender. Stream bytes in flight
    /// that would arrive during the partition return to the sender's buffer. Both are sent once the
    /// partition has healed. Datagrams are lost.
    ///
    /// # Panics
    ///
    /// If both scopes are the same. `partition("iad-0", "iad")` isolates a host from its region.
    #[track_caller]
    pub fn partition(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.fault(a.as_ref(), b.as_ref(), Direction::Both, Fault::Cut)
    }

    /// Blocks all messages from one scope to another, and leaves the other direction open.
    ///
    /// # Panics
    ///
    /// If both scopes are the same.
    #[track_caller]
    pub fn partition_one_way(&self, from: impl AsRef<str>, to: impl AsRef<str>) -> FaultGuard {
        self.fault(from.as_ref(), to.as_ref(), Direction::OneWay, Fault::Cut)
    }

    /// Holds all messages between two scopes, including datagrams, until the guard is dropped.
    /// Dropping it releases the messages.
    ///
    /// # Panics
    ///
    /// If both scopes are the same.
    #[track_caller]
    pub fn hold(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.fault(a.as_ref(), b.as_ref(), Direction::Both, Fault::Hold)
    }

    /// Adds `extra` to the delay of each direction between two scopes. A round trip takes twice
    /// `extra` longer.
    ///
    /// # Panics
    ///
    /// If `extra` is not a whole number of milliseconds.
    #[track_caller]
    pub fn slow(&self, a: impl AsRef<str>, b: impl AsRef<str>, extra: Duration) -> FaultGuard {
        assert_whole_milliseconds(extra);
        self.fault(a.as_ref(), b.as_ref(), Direction::Both, Fault::Slow(extra))
    }

    /// Delays each message between two scopes, in either direction, by an additional random time from
    /// 0 to `up_to`, in whole milliseconds. The seed determines the times. Messages on a stream stay
    /// in order; datagrams can be reordered. If several jitters apply, their bounds add up.
    ///
    /// # Panics
    ///
    /// If `up_to` is not a whole number of milliseconds.
    #[track_caller]
    pub fn jitter(&self, a: impl AsRef<str>, b: impl AsRef<str>, up_to: Duration) -> FaultGuard {
        assert_whole_milliseconds(up_to);
        self.fault(a.as_ref(), b.as_ref(), Direction::Both, Fault::Jitter(up_to))
    }

    /// Drops this share of the datagrams between two scopes: 0 is none, 1 is all. The seed determines
    /// which datagrams are lost. Streams lose nothing.
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    #[track_caller]
    pub fn lose(&self, a: impl AsRef<str>, b: impl AsRef<str>, share: f64) -> FaultGuard {
        assert_share(share);
        self.fault(a.as_ref(), b.as_ref(), Direction::Both, Fault::Lose(share))
    }

    /// Drops the messages of streams between two scopes and lets datagrams pass, like a firewall that
    /// filters TCP. Connections and connection attempts hang. Bytes written during the fault arrive once
    /// it has ended.
    #[track_caller]
    pub fn filter_tcp(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.fault(a.as_ref(), b.as_ref(), Direction::Both, Fault::FilterTcp)
    }

    /// Limits the bandwidth, in bytes per second, of each path between a host of one scope and a host
    /// of the other, as [`SimNetBuilder::bandwidth`](crate::SimNetBuilder::bandwidth) does. If several
    /// limits apply to a path, the lowest is used.
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

    /// Ends every fault that was started between exactly these two scopes, in either order, whether or
    /// not `keep` was called on its guard.
    #[track_caller]
    pub fn heal(&self, a: impl AsRef<str>, b: impl AsRef<str>) {
        let (a, b) = (self.scope(a.as_ref()), self.scope(b.as_ref()));
        self.shared.with(|core| core.heal(|_, rule| rule.is_between(a, b)));
    }

    /// Ends every hold that was started between exactly these two scopes, in either order, whether or
    /// not `keep` was called on its guard. Other faults between them continue.
    #[track_caller]
    pub fn release(&self, a: impl AsRef<str>, b: impl AsRef<str>) {
        let (a, b) = (self.scope(a.as_ref()), self.scope(b.as_ref()));
        self.shared
            .with(|core| core.heal(|_, rule| rule.fault == Fault::Hold && rule.is_between(a, b)));
    }

    /// Ends every fault between scopes. Crashed or frozen hosts and wrong clocks are not affected.
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

    /// Looks up a scope. Called before the fault starts, so that a panic has the location of the
    /// caller.
    #[track_caller]
    fn scope(&self, name: &str) -> FaultScope {
        let found = find_scope(&self.shared.lock().fabric.topology, name);
        match found {
            Ok(scope) => scope,
            Err(message) => panic!("{message}"),
        }
    }
}
