//! Fault rules, which affect messages from one scope to another.

use std::{collections::BTreeMap, time::Duration};

use super::{
    ids::{FaultId, HostId, Path, RegionIndex},
    topology::Topology,
};

pub(crate) struct Faults {
    /// The conditions on every path between different hosts, before any rule.
    baseline: Conditions,
    last_id: FaultId,
    rules: BTreeMap<FaultId, Rule>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) from: FaultScope,
    pub(crate) to: FaultScope,
    pub(crate) direction: Direction,
    pub(crate) fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    OneWay,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    Cut,
    Hold,
    Slow(Duration),
    Jitter(Duration),
    Lose(f64),
    FilterTcp,
    Throttle(u64),
}

/// The hosts that one end of a rule applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultScope {
    Host(HostId),
    Region(RegionIndex),
}

/// The combined effect of all faults on the path from one host to another.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Conditions {
    pub(crate) cut: bool,
    pub(crate) held: bool,
    /// Whether the messages of streams are dropped.
    pub(crate) tcp_filtered: bool,
    pub(crate) extra_delay: Duration,
    /// Upper bound on the random delay added to each message.
    pub(crate) jitter: Duration,
    /// The share of datagrams that are lost, between 0 and 1.
    pub(crate) loss: f64,
    /// Bytes per second on this path, or `None` if unlimited.
    pub(crate) bandwidth: Option<u64>,
}

impl Conditions {
    pub(crate) fn is_open(&self) -> bool {
        !self.cut && !self.held
    }

    fn apply(&mut self, fault: Fault) {
        match fault {
            Fault::Cut => self.cut = true,
            Fault::Hold => self.held = true,
            Fault::Slow(extra) => self.extra_delay += extra,
            Fault::Jitter(up_to) => self.jitter += up_to,
            Fault::FilterTcp => self.tcp_filtered = true,
            Fault::Lose(share) => self.loss = 1.0 - (1.0 - self.loss) * (1.0 - share),
            Fault::Throttle(limit) => {
                self.bandwidth = Some(self.bandwidth.map_or(limit, |least| least.min(limit)));
            }
        }
    }
}

impl Faults {
    pub(crate) fn new(baseline: Conditions) -> Self {
        Faults { baseline, last_id: FaultId(0), rules: BTreeMap::new() }
    }

    /// Returns the conditions on a path. A host always reaches itself.
    pub(crate) fn conditions(&self, topology: &Topology, path: Path) -> Conditions {
        if path.from == path.to {
            return Conditions::default();
        }
        let mut conditions = self.baseline;
        for rule in self.rules.values().filter(|rule| rule.applies(topology, path)) {
            conditions.apply(rule.fault);
        }
        conditions
    }

    /// Returns the id for a fault that starts now.
    pub(crate) fn next_id(&mut self) -> FaultId {
        self.last_id = FaultId(self.last_id.0 + 1);
        self.last_id
    }

    pub(crate) fn add(&mut self, fault: FaultId, rule: Rule) {
        self.rules.insert(fault, rule);
    }

    /// Removes the rules for which `ends` returns true, and returns them in the order in which they
    /// started.
    pub(crate) fn remove(&mut self, ends: impl Fn(FaultId, &Rule) -> bool) -> Vec<Rule> {
        let mut removed = Vec::new();
        self.rules.retain(|fault, rule| {
            let ends = ends(*fault, rule);
            removed.extend(ends.then_some(*rule));
            !ends
        });
        removed
    }
}

impl Rule {
    /// Returns whether the rule was set between exactly these two scopes, in either order.
    pub(crate) fn is_between(&self, a: FaultScope, b: FaultScope) -> bool {
        (self.from, self.to) == (a, b) || (self.from, self.to) == (b, a)
    }

    fn applies(&self, topology: &Topology, path: Path) -> bool {
        let forward = self.from.covers(topology, path.from) && self.to.covers(topology, path.to);
        let backward = self.from.covers(topology, path.to) && self.to.covers(topology, path.from);
        forward || self.direction == Direction::Both && backward
    }
}

impl FaultScope {
    pub(crate) fn name(self, topology: &Topology) -> &str {
        match self {
            FaultScope::Host(host) => &topology.host(host).name,
            FaultScope::Region(region) => topology.region_name(region),
        }
    }

    fn covers(self, topology: &Topology, host: HostId) -> bool {
        match self {
            FaultScope::Host(this) => this == host,
            FaultScope::Region(this) => topology.host(host).region == this,
        }
    }
}
