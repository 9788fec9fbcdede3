//! What goes wrong between hosts: rules, each for messages from one place to another.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use super::{Shared, SimNet, host::HostId, wire::Wire};
use crate::latency::assert_whole_milliseconds;

#[derive(Default)]
pub(super) struct Faults {
    next: u64,
    rules: BTreeMap<u64, Rule>,
}

#[derive(Debug, Clone, Copy)]
struct Rule {
    from: Place,
    to: Place,
    both_ways: bool,
    fault: Fault,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Cut,
    Hold,
    Slow(Duration),
    Lose(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Host(HostId),
    Region(usize),
}

/// All faults on the way from one host to another.
#[derive(Debug, Default)]
pub(super) struct Weather {
    pub(super) cut: bool,
    pub(super) held: bool,
    pub(super) extra: Duration,
    /// The share of datagrams that are lost, between 0 and 1.
    pub(super) loss: f64,
}

impl Faults {
    /// A host always reaches itself.
    pub(super) fn between(&self, wire: &Wire, from: HostId, to: HostId) -> Weather {
        let mut weather = Weather::default();
        if from == to {
            return weather;
        }
        for rule in self.rules.values().filter(|rule| rule.applies(wire, from, to)) {
            match rule.fault {
                Fault::Cut => weather.cut = true,
                Fault::Hold => weather.held = true,
                Fault::Slow(extra) => weather.extra += extra,
                Fault::Lose(share) => weather.loss = 1.0 - (1.0 - weather.loss) * (1.0 - share),
            }
        }
        weather
    }

    fn add(&mut self, rule: Rule) -> u64 {
        self.next += 1;
        self.rules.insert(self.next, rule);
        self.next
    }
}

impl Rule {
    fn applies(&self, wire: &Wire, from: HostId, to: HostId) -> bool {
        let along = self.from.covers(wire, from) && self.to.covers(wire, to);
        along || self.both_ways && self.from.covers(wire, to) && self.to.covers(wire, from)
    }
}

impl Place {
    fn named(wire: &Wire, name: &str) -> Place {
        let host = wire.find(name).map(Place::Host);
        host.or_else(|| wire.find_region(name).map(Place::Region))
            .unwrap_or_else(|| panic!("no host and no host's region is called `{name}`"))
    }

    fn covers(self, wire: &Wire, host: HostId) -> bool {
        match self {
            Place::Host(this) => this == host,
            Place::Region(this) => wire.hosts[host.0].region == this,
        }
    }
}

/// Undoes a fault when dropped.
#[must_use = "the fault ends when its guard is dropped; `keep` makes it last"]
pub struct FaultGuard {
    shared: Arc<Shared>,
    rule: Option<u64>,
}

impl FaultGuard {
    /// Makes the fault last until [`SimNet::heal`] or [`SimNet::heal_all`].
    pub fn keep(mut self) {
        self.rule = None;
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        if let Some(rule) = self.rule {
            self.shared.with(|core| {
                core.wire.faults.rules.remove(&rule);
                core.reopen();
            });
        }
    }
}

impl fmt::Debug for FaultGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultGuard").field("rule", &self.rule).finish_non_exhaustive()
    }
}

/// Faults between places. A place is the name of a host, or of a region: all hosts in it. A region
/// may be given twice, for the ways between its hosts. A host always reaches itself.
///
/// # Panics
///
/// All of these panic if a name is neither a host's nor a host's region.
impl SimNet {
    /// Cuts the ways between two places in both directions.
    ///
    /// What was written to streams stays with its sender, as does what is on its way and would
    /// arrive during the partition; both set out once it has healed. Datagrams are lost.
    pub fn partition(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> FaultGuard {
        self.fault(a.as_ref(), b.as_ref(), true, Fault::Cut)
    }

    /// Cuts the way from one place to another, and leaves the way back open.
    pub fn partition_one_way(&self, from: impl AsRef<str>, to: impl AsRef<str>) -> FaultGuard {
        self.fault(from.as_ref(), to.as_ref(), false, Fault::Cut)
    }

    /// Holds messages between two places back, datagrams too, until the guard is dropped.
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

    /// Loses that share of the datagrams between two places, 0 for none and 1 for all; which ones
    /// follows from the seed. Streams lose nothing.
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    pub fn lose(&self, a: impl AsRef<str>, b: impl AsRef<str>, share: f64) -> FaultGuard {
        assert!((0.0..=1.0).contains(&share), "a share is between 0 and 1, not {share}");
        self.fault(a.as_ref(), b.as_ref(), true, Fault::Lose(share))
    }

    /// Ends every fault that was set between just these two places, in whichever order, its guard
    /// kept or not.
    pub fn heal(&self, a: impl AsRef<str>, b: impl AsRef<str>) {
        self.shared.with(|core| {
            let a = Place::named(&core.wire, a.as_ref());
            let b = Place::named(&core.wire, b.as_ref());
            core.wire
                .faults
                .rules
                .retain(|_, rule| (rule.from, rule.to) != (a, b) && (rule.from, rule.to) != (b, a));
            core.reopen();
        });
    }

    /// Ends every fault between places. Crashed and frozen hosts stay so.
    pub fn heal_all(&self) {
        self.shared.with(|core| {
            core.wire.faults.rules.clear();
            core.reopen();
        });
    }

    fn fault(&self, from: &str, to: &str, both_ways: bool, fault: Fault) -> FaultGuard {
        let rule = self.shared.with(|core| {
            let from = Place::named(&core.wire, from);
            let to = Place::named(&core.wire, to);
            core.wire.faults.add(Rule { from, to, both_ways, fault })
        });
        FaultGuard { shared: Arc::clone(&self.shared), rule: Some(rule) }
    }
}
