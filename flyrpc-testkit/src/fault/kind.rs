//! [`Fault`], a fault as a value.

use std::{fmt, time::Duration};

/// A fault that [`SimCluster::inject`](crate::SimCluster::inject) injects. Each variant corresponds to a method of
/// [`SimCluster`](crate::SimCluster), which describes it.
///
/// The fields `a`, `b`, `from` and `to` are scopes: the name of a node, of another host, or of a region, which stands
/// for all its hosts. Displays as in the [trace](crate::Trace), except that a crash of a machine is distinguished from
/// the crash of a node.
///
/// ```
/// use flyrpc_testkit::Fault;
///
/// let fault = Fault::Partition { a: "iad-0".into(), b: "hkg".into() };
/// assert_eq!(fault.to_string(), "partition iad-0 <> hkg");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// No messages between two scopes: [`partition`](crate::SimCluster::partition).
    Partition {
        /// One scope.
        a: String,
        /// The other scope.
        b: String,
    },
    /// No messages in one direction: [`partition_one_way`](crate::SimCluster::partition_one_way).
    PartitionOneWay {
        /// The scope whose messages are blocked.
        from: String,
        /// The scope that they do not reach.
        to: String,
    },
    /// Messages are held until the fault ends: [`hold`](crate::SimCluster::hold).
    Hold {
        /// One scope.
        a: String,
        /// The other scope.
        b: String,
    },
    /// More delay in each direction: [`slow`](crate::SimCluster::slow).
    Slow {
        /// One scope.
        a: String,
        /// The other scope.
        b: String,
        /// The additional delay, in whole milliseconds.
        by: Duration,
    },
    /// Random additional delays: [`jitter`](crate::SimCluster::jitter).
    Jitter {
        /// One scope.
        a: String,
        /// The other scope.
        b: String,
        /// The longest additional delay, in whole milliseconds.
        up_to: Duration,
    },
    /// Lost datagrams: [`lose`](crate::SimCluster::lose).
    Lose {
        /// One scope.
        a: String,
        /// The other scope.
        b: String,
        /// The share of datagrams that are lost, between 0 and 1.
        share: f64,
    },
    /// No messages of streams: [`filter_tcp`](crate::SimCluster::filter_tcp).
    FilterTcp {
        /// One scope.
        a: String,
        /// The other scope.
        b: String,
    },
    /// Limited bandwidth: [`throttle`](crate::SimCluster::throttle).
    Throttle {
        /// One scope.
        a: String,
        /// The other scope.
        b: String,
        /// The bandwidth of each path, which must not be 0.
        bytes_per_second: u64,
    },
    /// The process of a node ends: [`crash`](crate::SimCluster::crash). The end of the fault restarts the node.
    Crash {
        /// The node.
        node: String,
    },
    /// A machine crashes: [`crash_machine`](crate::SimCluster::crash_machine). The end of the fault restarts the machine,
    /// with its node if it has one.
    CrashMachine {
        /// The node, or another host.
        node: String,
    },
    /// A node is shut down gracefully: [`shutdown`](crate::SimCluster::shutdown). The end of the fault restarts it.
    Shutdown {
        /// The node.
        node: String,
    },
    /// A machine gets no processor time: [`frozen`](crate::SimCluster::frozen).
    Freeze {
        /// The node, or another host.
        node: String,
    },
    /// A clock is ahead: [`skewed_ahead`](crate::SimCluster::skewed_ahead).
    SkewAhead {
        /// The node, or another host.
        node: String,
        /// How far its clock is ahead.
        by: Duration,
    },
    /// A clock is behind: [`skewed_behind`](crate::SimCluster::skewed_behind).
    SkewBehind {
        /// The node, or another host.
        node: String,
        /// How far its clock is behind.
        by: Duration,
    },
    /// A clock runs fast or slow: [`drifting`](crate::SimCluster::drifting).
    Drift {
        /// The node, or another host.
        node: String,
        /// How fast its clock runs. Negative if it is slow.
        parts_per_million: i64,
    },
}

/// The kind of a [`Fault`]: the name of its variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// [`Fault::Partition`]
    Partition,
    /// [`Fault::PartitionOneWay`]
    PartitionOneWay,
    /// [`Fault::Hold`]
    Hold,
    /// [`Fault::Slow`]
    Slow,
    /// [`Fault::Jitter`]
    Jitter,
    /// [`Fault::Lose`]
    Lose,
    /// [`Fault::FilterTcp`]
    FilterTcp,
    /// [`Fault::Throttle`]
    Throttle,
    /// [`Fault::Crash`]
    Crash,
    /// [`Fault::CrashMachine`]
    CrashMachine,
    /// [`Fault::Shutdown`]
    Shutdown,
    /// [`Fault::Freeze`]
    Freeze,
    /// [`Fault::SkewAhead`]
    SkewAhead,
    /// [`Fault::SkewBehind`]
    SkewBehind,
    /// [`Fault::Drift`]
    Drift,
}

impl Fault {
    /// Returns the kind of the fault.
    pub fn kind(&self) -> FaultKind {
        match self {
            Fault::Partition { .. } => FaultKind::Partition,
            Fault::PartitionOneWay { .. } => FaultKind::PartitionOneWay,
            Fault::Hold { .. } => FaultKind::Hold,
            Fault::Slow { .. } => FaultKind::Slow,
            Fault::Jitter { .. } => FaultKind::Jitter,
            Fault::Lose { .. } => FaultKind::Lose,
            Fault::FilterTcp { .. } => FaultKind::FilterTcp,
            Fault::Throttle { .. } => FaultKind::Throttle,
            Fault::Crash { .. } => FaultKind::Crash,
            Fault::CrashMachine { .. } => FaultKind::CrashMachine,
            Fault::Shutdown { .. } => FaultKind::Shutdown,
            Fault::Freeze { .. } => FaultKind::Freeze,
            Fault::SkewAhead { .. } => FaultKind::SkewAhead,
            Fault::SkewBehind { .. } => FaultKind::SkewBehind,
            Fault::Drift { .. } => FaultKind::Drift,
        }
    }

    /// Returns the node or machine that the fault stops, if it stops one.
    pub(super) fn stops(&self) -> Option<&str> {
        match self {
            Fault::Crash { node } | Fault::CrashMachine { node } | Fault::Shutdown { node } => {
                Some(node)
            }
            _ => None,
        }
    }
}

impl FaultKind {
    /// All kinds, from faults of the network to faults of clocks.
    pub const ALL: &[FaultKind] = &[
        FaultKind::Partition,
        FaultKind::PartitionOneWay,
        FaultKind::Hold,
        FaultKind::Slow,
        FaultKind::Jitter,
        FaultKind::Lose,
        FaultKind::FilterTcp,
        FaultKind::Throttle,
        FaultKind::Crash,
        FaultKind::CrashMachine,
        FaultKind::Shutdown,
        FaultKind::Freeze,
        FaultKind::SkewAhead,
        FaultKind::SkewBehind,
        FaultKind::Drift,
    ];

    /// Returns whether faults of this kind affect the paths between two scopes.
    pub(super) fn needs_scopes(self) -> bool {
        self <= FaultKind::Throttle
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Partition { a, b } => write!(f, "partition {a} <> {b}"),
            Fault::PartitionOneWay { from, to } => write!(f, "partition {from} > {to}"),
            Fault::Hold { a, b } => write!(f, "hold {a} <> {b}"),
            Fault::Slow { a, b, by } => write!(f, "slow {a} <> {b} by {by:?}"),
            Fault::Jitter { a, b, up_to } => write!(f, "jitter {a} <> {b} up to {up_to:?}"),
            Fault::Lose { a, b, share } => write!(f, "lose {a} <> {b} by {share}"),
            Fault::FilterTcp { a, b } => write!(f, "filter TCP {a} <> {b}"),
            Fault::Throttle { a, b, bytes_per_second } => {
                write!(f, "throttle {a} <> {b} to {bytes_per_second} B/s")
            }
            Fault::Crash { node } => write!(f, "crash {node}"),
            Fault::CrashMachine { node } => write!(f, "crash machine {node}"),
            Fault::Shutdown { node } => write!(f, "shut down {node}"),
            Fault::Freeze { node } => write!(f, "freeze {node}"),
            Fault::SkewAhead { node, by } => write!(f, "skew {node} ahead by {by:?}"),
            Fault::SkewBehind { node, by } => write!(f, "skew {node} behind by {by:?}"),
            Fault::Drift { node, parts_per_million } => {
                write!(f, "drift {node} by {parts_per_million} ppm")
            }
        }
    }
}
