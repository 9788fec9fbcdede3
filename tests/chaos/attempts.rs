//! The attempts of calls, as their callers observed them, and checks of each.

use std::{collections::BTreeMap, time::Duration};

use flyrpc::{Refusal, RpcError, Target};
use flyrpc_testkit::{CallOutcome, Trace, TracedCall};

use super::{
    ledger::{CallRecord, Records},
    service::HEDGE,
};

/// Upper bound on the attempts on one target, each time that a call looks for a node.
pub(super) const PER_TARGET: usize = 3;

/// Upper bound on the attempts on all targets, each time that a call looks for a node.
pub(super) const PER_CALL: usize = 6;

/// One attempt of a call on a node.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The name of the calling node.
    pub caller: String,
    /// Which boot of the calling node made the call.
    pub boot: u32,
    /// The number of the call within that boot.
    pub call: u64,
    /// The region of the node.
    pub region: String,
    /// The target of the attempt.
    pub target: String,
    /// Whether the attempt was sent to another node.
    pub is_remote: bool,
    /// Whether the method is hedged.
    pub is_hedged: bool,
    /// When it started.
    pub start: Duration,
    /// When and how it ended. `None` if it never ended.
    pub end: Option<(Duration, AttemptEnd)>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    /// With a reply.
    Replied,
    /// The link was lost, or the node was draining. The next attempt needs no budget.
    Lost,
    /// With another failure.
    Failed,
    /// Another attempt or the caller ended it, or it was not sent.
    Cancelled,
}

/// The attempts of one call.
#[derive(Debug, Default)]
pub(super) struct CallAttempts {
    /// In the order of their starts.
    all: Vec<Attempt>,
    /// Whether the call may have waited for a node. Such a call may begin again as soon as it has failed, and makes
    /// a first attempt then.
    may_wait: bool,
}

/// The attempts of all calls, by the caller's name and boot and the number of the call.
pub(super) type AttemptsByCall = BTreeMap<(String, u32, u64), CallAttempts>;

/// Groups attempts by call.
pub(super) fn by_call(attempts: impl IntoIterator<Item = Attempt>) -> AttemptsByCall {
    let mut calls = AttemptsByCall::new();
    for attempt in attempts {
        let key = (attempt.caller.clone(), attempt.boot, attempt.call);
        calls.entry(key).or_default().all.push(attempt);
    }
    calls
}

/// Returns the attempts of a run, grouped by call.
pub(super) fn of_run(trace: &Trace, records: &Records) -> AttemptsByCall {
    let mut calls = by_call(of_trace(trace));
    let waiting: Vec<_> = records.calls.iter().filter(|call| call.spec.wait.is_some()).collect();
    for ((caller, ..), call) in calls.iter_mut().filter(|(_, call)| call.all.len() > 1) {
        let start = call.all[0].start;
        let may_be =
            |of: &&&CallRecord| of.from == *caller && of.started <= start && start <= of.end();
        call.may_wait = waiting.iter().any(|of| may_be(&of));
    }
    calls
}

/// Returns the attempts of a trace that were made on a node.
fn of_trace(trace: &Trace) -> impl Iterator<Item = Attempt> {
    trace.calls().filter_map(|call| {
        Some(Attempt {
            caller: call.caller().to_owned(),
            boot: call.caller_boot(),
            call: call.call(),
            region: call.region()?.to_string(),
            target: call.target().to_string(),
            is_remote: !call.is_local(),
            is_hedged: call.method() == "hedged",
            start: call.start(),
            end: call.end().map(|at| (at, end_of(call))),
        })
    })
}

fn end_of(call: &TracedCall) -> AttemptEnd {
    match call.outcome() {
        Some(CallOutcome::Replied) => AttemptEnd::Replied,
        Some(CallOutcome::Cancelled) | None => AttemptEnd::Cancelled,
        Some(CallOutcome::Failed(error)) => match **error {
            RpcError::Disconnected { .. } | RpcError::Refused { reason: Refusal::Draining, .. } => {
                AttemptEnd::Lost
            }
            _ => AttemptEnd::Failed,
        },
        Some(_) => AttemptEnd::Failed,
    }
}

/// Checks that each attempt goes to a node of its target, and that no call makes too many.
pub(super) fn check(trace: &Trace, calls: &AttemptsByCall) -> Vec<String> {
    let strays = trace.calls().filter(|call| !is_on_target(call)).map(|call| {
        let node = call.node().unwrap_or_default();
        format!("an attempt of {} went to {node}, which is not in {}", call.caller(), call.target())
    });
    strays.chain(calls.iter().filter_map(too_many)).collect()
}

fn is_on_target(call: &TracedCall) -> bool {
    match call.target() {
        Target::Region(region) | Target::Primary(region) => {
            call.region().is_none_or(|of| of == region)
        }
        Target::Node(id) => call.node_id().is_none_or(|of| of == id),
        _ => true,
    }
}

fn too_many((of, call): (&(String, u32, u64), &CallAttempts)) -> Option<String> {
    let (caller, boot, number) = of;
    if call.may_wait {
        return None;
    }
    let mut on_targets: BTreeMap<&str, usize> = BTreeMap::new();
    for attempt in &call.all {
        // An attempt whose request was not sent does not count, and is reported as canceled.
        if !matches!(attempt.end, Some((_, AttemptEnd::Cancelled))) {
            *on_targets.entry(&attempt.target).or_default() += 1;
        }
        let most = on_targets.values().copied().max().unwrap_or_default();
        if most > PER_TARGET || on_targets.values().sum::<usize>() > PER_CALL {
            return Some(format!(
                "call {number} of boot {boot} of {caller} made too many attempts: {on_targets:?}"
            ));
        }
    }
    None
}

impl CallAttempts {
    /// All attempts of the call.
    pub(super) fn all(&self) -> &[Attempt] {
        &self.all
    }

    /// Whether the call may have waited for a node.
    pub(super) fn may_wait(&self) -> bool {
        self.may_wait
    }

    /// Whether an attempt was made in parallel with an earlier one, or as soon as one had failed. Otherwise,
    /// it is the first one after the call has waited.
    fn continues(&self, index: usize) -> bool {
        let start = self.all[index].start;
        self.all[..index].iter().any(|earlier| match earlier.end {
            None => true,
            Some((at, AttemptEnd::Cancelled | AttemptEnd::Replied)) => at > start,
            Some((at, _)) => at >= start,
        })
    }

    /// The attempts on other nodes that the budget for retries of their region must have paid for.
    pub(super) fn charged(&self) -> Vec<&Attempt> {
        let mut has_free = true;
        let is_charged = |index: &usize| {
            if !self.continues(*index) || self.is_first_on_target(*index) {
                return false;
            }
            let is_free = has_free && self.earned(*index);
            has_free &= !is_free;
            !is_free && self.all[*index].is_remote
        };
        (0..self.all.len()).filter(is_charged).map(|index| &self.all[index]).collect()
    }

    /// Whether an attempt is the first one on another node of its target, and all earlier attempts had ended.
    fn is_first_on_target(&self, index: usize) -> bool {
        let attempt = &self.all[index];
        let has_ended = |end: Option<(Duration, _)>| end.is_some_and(|(at, _)| at <= attempt.start);
        self.all[..index].iter().all(|earlier| {
            has_ended(earlier.end) && (!earlier.is_remote || earlier.target != attempt.target)
        })
    }

    /// Whether a retry may be free: an earlier attempt was lost, or its node may have gone quiet.
    fn earned(&self, index: usize) -> bool {
        let attempt = &self.all[index];
        self.all[..index].iter().any(|earlier| match earlier.end {
            Some((at, AttemptEnd::Lost)) if at <= attempt.start => true,
            Some((at, _)) if at <= attempt.start => false,
            _ => !attempt.is_hedged || attempt.start != earlier.start + HEDGE,
        })
    }
}
