//! The faults of a plan.

use flyrpc_testkit::Fault as SimFault;

use super::rng::PlanRng;

/// A fault with its times, in milliseconds since all nodes were linked.
#[derive(Debug, Clone)]
pub(super) struct PlannedFault {
    pub(super) at: u64,
    /// How long the fault lasts. Some faults, such as a skew, never end.
    pub(super) lasts: u64,
    pub(super) fault: Fault,
}

/// A fault of the testkit, or of this test.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    Sim(SimFault),
    /// A bandwidth between two scopes, in bytes per second, that is low but enough for links to stay open.
    Bottleneck(String, String, u64),
    /// A deploy of the release with this version to one node.
    Replace {
        node: String,
        version: Version,
    },
    Roll {
        version: Version,
    },
    /// Freezes the node and stops its clock, as when a machine is suspended.
    Pause(String),
    /// A node that is not one of the plan starts in a region, and advertises an address that is not
    /// its own. It serves the same service.
    Claim {
        claimant: String,
        region: &'static str,
        addr: ClaimedAddr,
    },
    /// The handlers of a node misbehave.
    Misbehave {
        node: String,
        how: Behavior,
    },
    /// A member floods a node over one link.
    Flood {
        node: String,
        /// The region of the member, which is none of the plan.
        from: &'static str,
        flood: Flood,
    },
}

impl From<SimFault> for Fault {
    fn from(fault: SimFault) -> Self {
        Fault::Sim(fault)
    }
}

/// The address that a claimant advertises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClaimedAddr {
    /// The address of this node.
    Node(String),
    /// An address that no node listens on. All claimants of the plan share it.
    Unused,
}

/// How the handlers of a node misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behavior {
    /// Each takes this many milliseconds longer.
    Slow(u64),
    /// Each panics at once.
    Panics,
    /// Calls of the node itself hold all that [`Method::Limited`](super::plan::Method::Limited) admits.
    Overloaded,
}

/// What a member sends in excess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flood {
    /// Requests whose handlers do not end.
    Slow,
    /// Requests whose bodies of this many bytes are announced, but do not come.
    Announced(u64),
    /// Requests whose bodies of this many bytes are sent in part. The member then abandons its link
    /// and opens another.
    Abandoned(u64),
    /// Requests whose replies the member does not read.
    Unread,
}

/// The part of a node that a crash takes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CrashScope {
    /// Only the process of the node.
    Process,
    /// The process and its machine.
    Machine,
}

impl CrashScope {
    pub(super) fn pick(rng: &mut PlanRng) -> Self {
        if rng.percent(50) { CrashScope::Machine } else { CrashScope::Process }
    }

    /// Returns the crash of a node.
    pub(super) fn of(self, node: String) -> Fault {
        Fault::Sim(match self {
            CrashScope::Process => SimFault::Crash { node },
            CrashScope::Machine => SimFault::CrashMachine { node },
        })
    }
}

/// The version of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// Lacks a method.
    Old,
    /// Has all methods.
    New,
}

impl Version {
    /// Picks the new version, or either version if `versions` is true.
    pub(super) fn pick(versions: bool, rng: &mut PlanRng) -> Self {
        if versions && rng.percent(50) { Version::Old } else { Version::New }
    }
}
