//! What goes wrong on the ways between places.

use std::time::Duration;

use super::{
    Core, FaultGuard, SimNet,
    faults::{Fault, FaultId, Place, Rule, assert_share},
    guard::Undo,
    line, misuse,
    news::FaultNews,
};
use crate::latency::assert_whole_milliseconds;

/// Faults between places. A place is the name of a host, or of a region: all hosts in it. Where a
/// region may be given twice, that means the ways between its hosts. A host always reaches itself.
///
/// # Panics
///
/// All of these panic if a name is neither a host's nor a host's region, and those that start a
/// fault if both names are the same host's.
impl SimNet {
    /// Cuts the ways between two places in both directions.
    ///
    /// What was written to streams stays with its sender, as does what is on its way and would
    /// arrive during the partition; both set out once it has healed. Datagrams are lost.
    ///
    /// # Panics
    ///
    /// If both places are the same. `partition("iad-0", "iad")` cuts a host off from its region.
    pub fn partition(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.fault(a.as_ref(), b.as_ref(), true, Fault::Cut)
    }

    /// Cuts the way from one place to another, and leaves the way back open.
    ///
    /// # Panics
    ///
    /// If both places are the same.
    pub fn partition_one_way(&self, from: impl AsRef<str>, to: impl AsRef<str>) -> FaultGuard {
        self.fault(from.as_ref(), to.as_ref(), false, Fault::Cut)
    }

    /// Holds messages between two places back, datagrams too, until the guard is dropped, which
    /// releases them.
    ///
    /// # Panics
    ///
    /// If both places are the same.
    pub fn hold(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.fault(a.as_ref(), b.as_ref(), true, Fault::Hold)
    }

    /// Adds `extra` to each way between two places, so twice that to a round trip.
    ///
    /// # Panics
    ///
    /// If `extra` is not a whole number of milliseconds.
    pub fn slow(&self, a: impl AsRef<str>, b: impl AsRef<str>, extra: Duration) -> FaultGuard {
        assert_whole_milliseconds(extra);
        self.fault(a.as_ref(), b.as_ref(), true, Fault::Slow(extra))
    }

    /// Delays each message between two places, either way, by 0 to `up_to` more, a whole number of
    /// milliseconds that follows from the seed. Streams keep their order, datagrams can overtake
    /// each other. Several of these add up to the most that one message is delayed by.
    ///
    /// # Panics
    ///
    /// If `up_to` is not a whole number of milliseconds.
    pub fn jitter(&self, a: impl AsRef<str>, b: impl AsRef<str>, up_to: Duration) -> FaultGuard {
        assert_whole_milliseconds(up_to);
        self.fault(a.as_ref(), b.as_ref(), true, Fault::Jitter(up_to))
    }

    /// Loses that share of the datagrams between two places, 0 for none and 1 for all; which ones
    /// follows from the seed. Streams lose nothing.
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    pub fn lose(&self, a: impl AsRef<str>, b: impl AsRef<str>, share: f64) -> FaultGuard {
        assert_share(share);
        self.fault(a.as_ref(), b.as_ref(), true, Fault::Lose(share))
    }

    /// Gives each way from a host to another between two places at most that bandwidth, as
    /// [`SimNetBuilder::bandwidth`](super::SimNetBuilder::bandwidth) does; of several limits the
    /// least holds.
    ///
    /// # Panics
    ///
    /// If `bytes_per_second` is 0.
    pub fn throttle(
        &self,
        a: impl AsRef<str>,
        b: impl AsRef<str>,
        bytes_per_second: u64,
    ) -> FaultGuard {
        line::assert_some(bytes_per_second);
        self.fault(a.as_ref(), b.as_ref(), true, Fault::Throttle(bytes_per_second))
    }

    /// Ends every fault that was set between just these two places, in whichever order, its guard
    /// kept or not.
    pub fn heal(&self, a: impl AsRef<str>, b: impl AsRef<str>) {
        self.shared.with(|core| {
            let (a, b) = core.places(a.as_ref(), b.as_ref());
            core.heal(|_, rule| rule.is_between(a, b));
        });
    }

    /// Ends every hold that was set between just these two places, in whichever order, its guard
    /// kept or not. Other faults between them stay.
    pub fn release(&self, a: impl AsRef<str>, b: impl AsRef<str>) {
        self.shared.with(|core| {
            let (a, b) = core.places(a.as_ref(), b.as_ref());
            core.heal(|_, rule| rule.fault == Fault::Hold && rule.is_between(a, b));
        });
    }

    /// Ends every fault between places. Crashed and frozen hosts stay so, and clocks as they are.
    pub fn heal_all(&self) {
        self.shared.with(|core| core.heal(|_, _| true));
    }

    fn fault(&self, from: &str, to: &str, both_ways: bool, fault: Fault) -> FaultGuard {
        FaultGuard::start(&self.shared, |core, id| {
            let (from, to) = core.places(from, to);
            if let Some(why) = misuse::same_place(&core.wire, from, to, fault) {
                panic!("{why}");
            }
            let rule = Rule { from, to, both_ways, fault };
            core.wire.faults.add(id, rule);
            core.tell_of_way(rule, FaultNews::Starts);
            Undo::Rule
        })
    }
}

impl Core {
    fn places(&self, a: &str, b: &str) -> (Place, Place) {
        (Place::named(&self.wire, a), Place::named(&self.wire, b))
    }

    /// Ends the faults between places that `which` chooses.
    pub(super) fn heal(&mut self, which: impl Fn(FaultId, &Rule) -> bool) {
        for rule in self.wire.faults.end(which) {
            self.tell_of_way(rule, FaultNews::Ends);
        }
        self.reopen();
    }
}
