//! The records of a run: every call with its outcome, every run of a handler, and every effect of a
//! fault with its times. The ledger is outside the simulation, so no fault affects it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flyrpc::{NodeId, RpcError};
use flyrpc_testkit::Fault as SimFault;
use tokio::time::Instant;

use super::{
    faults::{Behavior, Version},
    plan::CallSpec,
};

/// Records, with all times measured from the start of the run.
#[derive(Debug)]
pub(super) struct Ledger {
    start: Instant,
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
pub(super) struct Records {
    /// Indexed by [`CallId`].
    pub(super) calls: Vec<CallRecord>,
    pub(super) handler_runs: Vec<HandlerRun>,
    pub(super) effects: Vec<Effect>,
    /// The boots of each node, in order.
    pub(super) boots: BTreeMap<String, Vec<Boot>>,
    /// The last boot of each node that a call was sent to.
    pub(super) targeted: BTreeMap<String, NodeId>,
    /// Violations found during the run.
    pub(super) violations: Vec<String>,
}

/// Identifies a call of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallId(pub(super) u64);

#[derive(Debug)]
pub(super) struct CallRecord {
    pub(super) id: CallId,
    pub(super) spec: CallSpec,
    /// The node that called.
    pub(super) from: String,
    /// Whether a task of the test made the call. No fault stops such a task.
    pub(super) outside: bool,
    /// The call whose handler made this call, if any.
    pub(super) parent: Option<CallId>,
    pub(super) started: Duration,
    /// The timeout of the call, on its caller's clock.
    pub(super) allowed: Duration,
    /// When and how the call ended. `None` while it is in flight.
    pub(super) ended: Option<(Duration, Outcome)>,
}

#[derive(Debug)]
pub(super) enum Outcome {
    /// A reply from `node`. `right` is whether it was the right reply.
    Reply {
        node: String,
        right: bool,
    },
    Error(RpcError),
    /// The caller dropped the call, as planned.
    Cancelled,
    /// The caller was dropped: its node crashed, or the enclosing call ended.
    Dropped,
}

#[derive(Debug)]
pub(super) struct HandlerRun {
    pub(super) call: CallId,
    pub(super) node: String,
    pub(super) local: bool,
    pub(super) started: Duration,
    /// When the handler ended or was stopped.
    pub(super) ended: Option<Duration>,
    /// Whether the handler returned or panicked, rather than being stopped.
    pub(super) completed: bool,
}

#[derive(Debug)]
pub(super) struct Boot {
    pub(super) started: Duration,
    pub(super) version: Version,
}

/// An effect of a fault, with the times at which it occurred.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    pub(super) kind: EffectKind,
    pub(super) from: Duration,
    /// `None` while the effect is active.
    pub(super) to: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum EffectKind {
    /// Between two scopes, messages are lost in at least one direction, or are so slow that links
    /// may break.
    Unreachable(String, String),
    /// Between two scopes, all messages are lost.
    Partitioned(String, String),
    /// Between two scopes, the messages of streams are lost.
    Filtered(String, String),
    /// Between two scopes, this many bytes per second pass.
    Narrow(String, String, u64),
    /// Messages take longer.
    Slow(String, String),
    /// Only datagrams are lost.
    DatagramLoss(String, String),
    Down(String),
    /// The node has started again, and may not have found all other nodes yet.
    Searching(String),
    /// A member sends the node more than its fair share.
    Flooded(String),
    /// The node's handlers misbehave.
    Misbehaves(String, Behavior),
    Stopping(String),
    Frozen(String),
    /// The node's clock is stopped.
    ClockStopped(String),
    /// The node's clock jumps ahead by this much, at one instant.
    ClockJump(String, Duration),
    /// The node's clock drifts, in parts per million.
    Drift(String, i64),
}

impl EffectKind {
    /// Returns the effect of a fault that ends when its guard is dropped. `None` for faults of clocks, and for faults that
    /// stop a node.
    pub(super) fn of(fault: &SimFault) -> Option<Self> {
        let pair = |a: &String, b: &String| (a.clone(), b.clone());
        let between = |effect: fn(String, String) -> EffectKind, (a, b)| Some(effect(a, b));
        match fault {
            SimFault::Partition { a, b } => between(EffectKind::Partitioned, pair(a, b)),
            SimFault::PartitionOneWay { from, to } => {
                between(EffectKind::Unreachable, pair(from, to))
            }
            // With low bandwidth, pings are queued behind other messages, so links may break.
            SimFault::Hold { a, b } | SimFault::Throttle { a, b, .. } => {
                between(EffectKind::Unreachable, pair(a, b))
            }
            SimFault::Slow { a, b, .. } | SimFault::Jitter { a, b, .. } => {
                between(EffectKind::Slow, pair(a, b))
            }
            SimFault::Lose { a, b, .. } => between(EffectKind::DatagramLoss, pair(a, b)),
            SimFault::FilterTcp { a, b } => between(EffectKind::Filtered, pair(a, b)),
            SimFault::Freeze { node } => Some(EffectKind::Frozen(node.clone())),
            _ => None,
        }
    }
}

impl Ledger {
    pub(super) fn new() -> Self {
        Ledger { start: Instant::now(), records: Mutex::default() }
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a node starts.
    pub(super) fn on_boot(&self, node: &str, version: Version) {
        let boot = Boot { started: self.now(), version };
        self.records().boots.entry(node.to_owned()).or_default().push(boot);
    }

    /// Records the start of an effect. The end is recorded when the guard is dropped.
    pub(super) fn effect(&self, kind: EffectKind) -> EffectGuard<'_> {
        let mut records = self.records();
        records.effects.push(Effect { kind, from: self.now(), to: None });
        EffectGuard { ledger: self, at: records.effects.len() - 1 }
    }
}

/// Records the end of an effect when dropped.
#[must_use = "the effect ends when this is dropped"]
pub(super) struct EffectGuard<'a> {
    ledger: &'a Ledger,
    at: usize,
}

impl EffectGuard<'_> {
    /// Lets the effect continue to the end of the run.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for EffectGuard<'_> {
    fn drop(&mut self) {
        self.ledger.records().effects[self.at].to = Some(self.ledger.now());
    }
}

impl CallRecord {
    /// When the call ended, or the maximum if it has not ended.
    pub(super) fn end(&self) -> Duration {
        self.ended.as_ref().map_or(Duration::MAX, |(at, _)| *at)
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.ended.as_ref().map(|(_, outcome)| outcome)
    }
}

impl Effect {
    /// Whether the effect was active at any time between `from` and `to`.
    pub(super) fn overlaps(&self, from: Duration, to: Duration) -> bool {
        self.from <= to && self.to.is_none_or(|end| from <= end)
    }
}

impl Records {
    pub(super) fn call(&self, id: CallId) -> &CallRecord {
        &self.calls[id.0 as usize]
    }

    pub(super) fn runs_of(&self, id: CallId) -> impl Iterator<Item = &HandlerRun> {
        self.handler_runs.iter().filter(move |run| run.call == id)
    }

    /// How the handlers of a node misbehave now.
    pub(super) fn behaviors_of(&self, node: &str) -> Vec<Behavior> {
        let active = self.effects.iter().filter(|effect| effect.to.is_none());
        let behavior = |effect: &Effect| match &effect.kind {
            EffectKind::Misbehaves(at, how) if at == node => Some(*how),
            _ => None,
        };
        active.filter_map(behavior).collect()
    }

    /// Whether a node ran the old release at any time between `from` and `to`.
    pub(super) fn ran_old_release(&self, node: &str, from: Duration, to: Duration) -> bool {
        let boots = self.boots.get(node).map(Vec::as_slice).unwrap_or_default();
        boots.iter().enumerate().any(|(at, boot)| {
            let until = boots.get(at + 1).map_or(Duration::MAX, |next| next.started);
            boot.version == Version::Old && boot.started <= to && from <= until
        })
    }

    /// When a node that is frozen at `at` resumes, or `at` if it is not frozen.
    pub(super) fn resumed_after(&self, node: &str, at: Duration) -> Duration {
        let mut at = at;
        let frozen = EffectKind::Frozen(node.to_owned());
        while let Some(freeze) = self.effects.iter().find(|effect| {
            effect.kind == frozen && effect.from <= at && effect.to.is_none_or(|to| at < to)
        }) {
            at = freeze.to.unwrap_or(Duration::MAX);
        }
        at
    }
}
