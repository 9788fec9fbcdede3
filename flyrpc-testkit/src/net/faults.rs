//! What goes wrong between hosts: rules, each for messages from one place to another.

use std::{collections::BTreeMap, time::Duration};

use super::{host::HostId, misuse, wire::Wire};

/// Numbers all faults, those of hosts too, in the order of their starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FaultId(pub(super) u64);

pub(super) struct Faults {
    /// On all ways between different hosts.
    usual: Weather,
    numbered: u64,
    rules: BTreeMap<FaultId, Rule>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) from: Place,
    pub(super) to: Place,
    pub(super) both_ways: bool,
    pub(super) fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    Cut,
    Hold,
    Slow(Duration),
    Jitter(Duration),
    Lose(f64),
    Throttle(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Host(HostId),
    Region(usize),
}

/// All faults on the way from one host to another.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weather {
    pub(super) cut: bool,
    pub(super) held: bool,
    pub(super) extra: Duration,
    /// The most that chance adds to each message's delay.
    pub(super) jitter: Duration,
    /// The share of datagrams that are lost, between 0 and 1.
    pub(super) loss: f64,
    /// In bytes per second, of each line between two hosts.
    pub(super) bandwidth: Option<u64>,
}

impl Weather {
    pub(super) fn is_open(&self) -> bool {
        !self.cut && !self.held
    }
}

impl Faults {
    pub(super) fn new(usual: Weather) -> Self {
        Faults { usual, numbered: 0, rules: BTreeMap::new() }
    }

    /// A host always reaches itself.
    pub(super) fn between(&self, wire: &Wire, from: HostId, to: HostId) -> Weather {
        if from == to {
            return Weather::default();
        }
        let mut weather = self.usual;
        for rule in self.rules.values().filter(|rule| rule.applies(wire, from, to)) {
            match rule.fault {
                Fault::Cut => weather.cut = true,
                Fault::Hold => weather.held = true,
                Fault::Slow(extra) => weather.extra += extra,
                Fault::Jitter(up_to) => weather.jitter += up_to,
                Fault::Lose(share) => weather.loss = 1.0 - (1.0 - weather.loss) * (1.0 - share),
                Fault::Throttle(to) => {
                    weather.bandwidth = Some(weather.bandwidth.map_or(to, |least| least.min(to)));
                }
            }
        }
        weather
    }

    /// The number of a fault that starts now.
    pub(super) fn number(&mut self) -> FaultId {
        self.numbered += 1;
        FaultId(self.numbered)
    }

    pub(super) fn add(&mut self, fault: FaultId, rule: Rule) {
        self.rules.insert(fault, rule);
    }

    /// Ends the rules that `which` chooses, and returns them in the order of their starts.
    pub(super) fn end(&mut self, which: impl Fn(FaultId, &Rule) -> bool) -> Vec<Rule> {
        let mut ended = Vec::new();
        self.rules.retain(|fault, rule| {
            let ends = which(*fault, rule);
            ended.extend(ends.then_some(*rule));
            !ends
        });
        ended
    }
}

impl Rule {
    /// Whether it was set between just these two places, in whichever order.
    pub(super) fn is_between(&self, a: Place, b: Place) -> bool {
        (self.from, self.to) == (a, b) || (self.from, self.to) == (b, a)
    }

    fn applies(&self, wire: &Wire, from: HostId, to: HostId) -> bool {
        let along = self.from.covers(wire, from) && self.to.covers(wire, to);
        along || self.both_ways && self.from.covers(wire, to) && self.to.covers(wire, from)
    }
}

impl Place {
    /// # Panics
    ///
    /// If neither a host nor a region with hosts has that name.
    pub(super) fn named(wire: &Wire, name: &str) -> Place {
        let host = wire.find(name).map(Place::Host);
        host.or_else(|| wire.find_region(name).map(Place::Region))
            .unwrap_or_else(|| panic!("{}", misuse::no_place(wire, name)))
    }

    pub(super) fn name(self, wire: &Wire) -> &str {
        match self {
            Place::Host(host) => &wire.hosts[host.0].name,
            Place::Region(region) => wire.region_name(region),
        }
    }

    fn covers(self, wire: &Wire, host: HostId) -> bool {
        match self {
            Place::Host(this) => this == host,
            Place::Region(this) => wire.hosts[host.0].region == this,
        }
    }
}

/// # Panics
///
/// If it is not.
pub(super) fn assert_share(share: f64) {
    assert!((0.0..=1.0).contains(&share), "a share is between 0 and 1, not {share}");
}
