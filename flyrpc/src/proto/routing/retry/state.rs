//! The attempts of one call. Decides whether another attempt may start, how long to wait for a change,
//! and which failure the call reports.
//!
//! The rule is *at most once*: another node is tried only if the call certainly did not start on the
//! earlier nodes, or if its method is idempotent and the link failed.
//!
//! For an idempotent method, several attempts may be in flight at once. When an attempt's node goes
//! quiet, or its hedging delay is over, the next attempt starts in parallel. The first reply ends the call. The call also ends when an
//! attempt fails that may have executed and whose failure permits no retry, as in gRPC's hedging
//! (proposal A6).

use std::time::{Duration, Instant};

use super::{
    step::{AttemptEnd, Dialed, NoCandidate, Step, Waited},
    targets::TargetOrder,
};
use crate::{
    error::{Known, Refusal},
    proto::routing::failure::{AttemptFailure, CallFailure},
    types::{NodeId, NodeInfo},
};

/// The pause before a waiting call that no node refused picks again. The call sends nothing during the
/// pause, and a change of the table nearly always ends the pause early.
const PICK_PAUSE: Duration = Duration::from_secs(1);

/// The number of the first attempt of a call.
pub(crate) const FIRST_ATTEMPT: u32 = 1;

/// The properties of a call that determine its retries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    pub(crate) idempotent: bool,
    /// The number of targets, at least one.
    pub(crate) targets: usize,
    /// When the call started.
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    /// How long to wait for a node, from the start of the call.
    pub(crate) wait: Duration,
}

/// Whether the call's next retry is charged to the budget of its region. One retry of each call is free,
/// because it replaces an attempt that was lost for reasons other than the load of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FreeRetry {
    Unearned,
    Earned,
    Used,
}

/// The retries of one call.
///
/// The driver reports events through the `on_*` methods, and executes the steps that they return. A
/// reply ends the call, and so does [`Step::Fail`], even if attempts are in flight.
#[derive(Debug)]
pub(crate) struct Retry {
    policy: RetryPolicy,
    targets: TargetOrder,
    in_flight: Vec<InFlight>,
    /// The nodes tried in this round, including those of the attempts in flight.
    tried: Vec<NodeInfo>,
    /// The nodes that refused the call in this round.
    refused: Vec<NodeId>,
    free_retry: FreeRetry,
    /// The latest failure that did not end the call. The call reports it if no further attempt is made.
    last_failure: Option<CallFailure>,
    /// The first failure on the first target. The call reports it if nothing else can take the call.
    first_failure: Option<CallFailure>,
    /// Whether one of the targets that were tried in this round may become able to take the call.
    may_change: bool,
    /// The latest failure of an attempt that may have executed. A later attempt that failed without
    /// executing does not show whether this one executed.
    unsettled: Option<CallFailure>,
    primary_moved: bool,
    /// Whether the next attempt starts only because the hedging delay is over.
    hedges: bool,
    /// The failure that permits no other attempt. Attempts that were in flight then may still succeed.
    final_failure: Option<CallFailure>,
}

#[derive(Debug)]
struct InFlight {
    number: u32,
    /// The position of the target.
    target: usize,
    node: NodeInfo,
    /// Whether another attempt may start in parallel: the node has gone quiet, or the hedging delay of the call is
    /// over.
    late: bool,
    /// Whether another attempt has started since then.
    replaced: bool,
}

impl Retry {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Retry {
            policy,
            targets: TargetOrder::new(policy.targets),
            in_flight: Vec::new(),
            tried: Vec::new(),
            refused: Vec::new(),
            free_retry: FreeRetry::Unearned,
            last_failure: None,
            first_failure: None,
            may_change: false,
            unsettled: None,
            primary_moved: false,
            hedges: false,
            final_failure: None,
        }
    }

    /// Returns the position of the target of the next pick.
    pub(crate) fn target(&self) -> usize {
        self.targets.current()
    }

    /// Returns whether the next pick may return a node that is quiet or whose link was lost.
    pub(crate) fn accepts_unresponsive(&self) -> bool {
        // An attempt that is only slow is better than one on a node that may never answer.
        self.targets.accepts_unresponsive() && !self.hedges
    }

    /// Returns the nodes to exclude from the next pick.
    pub(crate) fn tried(&self) -> &[NodeInfo] {
        &self.tried
    }

    /// Returns whether `node` is excluded from the next pick.
    pub(crate) fn has_tried(&self, node: &NodeInfo) -> bool {
        self.tried.iter().any(|tried| tried.id() == node.id())
    }

    /// Returns whether a waiting call found that the configured region is no longer primary. Such a call
    /// goes to any node that considers itself primary.
    pub(crate) fn primary_moved(&self) -> bool {
        self.primary_moved
    }

    /// Returns whether an attempt may start now, in addition to those in flight.
    pub(crate) fn may_start(&self) -> bool {
        self.final_failure.is_none()
            && self.targets.has_room()
            && (self.in_flight.is_empty() || self.policy.idempotent)
    }

    /// Returns whether an attempt in flight is late and no other attempt was started in parallel with it. In that
    /// case, a change of the table may offer a node for another attempt.
    pub(crate) fn wants_another(&self) -> bool {
        self.may_start() && self.in_flight.iter().any(|attempt| attempt.late && !attempt.replaced)
    }

    /// Returns whether the next attempt is a call of its region instead of a retry there: the first attempt of a
    /// round on another node, and on each further target after all earlier attempts have failed. Otherwise the
    /// budget of a target that is rarely called would not pay for the calls that an overloaded one refuses.
    pub(crate) fn is_next_a_call(&self) -> bool {
        self.in_flight.is_empty() && self.targets.is_fresh_here()
    }

    /// Returns whether the next attempt is charged to the budget for retries. One retry after a lost link, a quiet
    /// link or a drain is free.
    pub(crate) fn is_next_charged(&self) -> bool {
        !self.is_next_a_call() && self.free_retry != FreeRetry::Earned
    }

    /// Starts an attempt on this node itself, and returns its number.
    pub(crate) fn start_here(&mut self, me: &NodeInfo) -> u32 {
        let number = self.start_uncounted(me);
        self.targets.count_here();
        number
    }

    /// Starts an attempt on another node, and returns its number, from 1.
    pub(crate) fn start(&mut self, node: &NodeInfo) -> u32 {
        if !self.is_next_a_call() && self.free_retry == FreeRetry::Earned {
            self.free_retry = FreeRetry::Used;
        }
        let number = self.start_uncounted(node);
        self.targets.count();
        number
    }

    fn start_uncounted(&mut self, node: &NodeInfo) -> u32 {
        debug_assert!(self.may_start());
        for attempt in &mut self.in_flight {
            attempt.replaced |= attempt.late;
        }
        // The number differs from those in flight, even if an earlier attempt turned out not to count.
        let in_flight = self.in_flight.iter().map(|attempt| attempt.number).max().unwrap_or(0);
        let number = in_flight.max(self.targets.counted()) + 1;
        self.in_flight.push(InFlight {
            number,
            target: self.targets.current(),
            node: node.clone(),
            late: false,
            replaced: false,
        });
        self.tried.push(node.clone());
        number
    }

    /// Handles the end of attempt `number`, which returned no reply.
    pub(crate) fn on_ended(&mut self, number: u32, end: AttemptEnd, now: Instant) -> Step {
        let InFlight { node, target, replaced, .. } = self.take_in_flight(number);
        self.hedges = false;
        match end {
            AttemptEnd::LinkClosed => {
                self.targets.uncount(target);
                self.allow_again(&node);
                self.pick_or_await()
            }
            AttemptEnd::NotSent(failure) => {
                self.targets.uncount(target);
                // A failure of an attempt that was made explains more.
                self.last_failure.get_or_insert(CallFailure::At { node, failure });
                self.pick_or_await()
            }
            AttemptEnd::Failed(failure) if failure.permits_retry(self.policy.idempotent) => {
                self.on_retriable((node, target), failure, replaced, now)
            }
            AttemptEnd::Failed(failure) => self.on_final(CallFailure::At { node, failure }),
        }
    }

    /// Records that the node of attempt `number` has gone quiet.
    pub(crate) fn on_quiet(&mut self, number: u32) -> Step {
        if self.set_late(number) {
            self.earn_free_retry();
        }
        self.hedges = false;
        self.on_changed()
    }

    /// Handles the end of the call's hedging delay: attempt `number` has taken so long that another one is worth
    /// its cost.
    pub(crate) fn on_hedge_due(&mut self, number: u32) -> Step {
        self.hedges = self.set_late(number);
        self.on_changed()
    }

    fn set_late(&mut self, number: u32) -> bool {
        let attempt = self.in_flight.iter_mut().find(|attempt| attempt.number == number);
        attempt.map(|attempt| attempt.late = true).is_some()
    }

    /// Returns whether attempts are in flight.
    pub(crate) fn has_attempts(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Handles a change of the table while attempts are in flight, or while a node is dialed.
    pub(crate) fn on_changed(&mut self) -> Step {
        if !self.has_attempts() {
            return self.pick_or_await();
        }
        if !self.wants_another() {
            return Step::AwaitAttempts;
        }
        self.targets.rewind();
        self.pick()
    }

    /// Handles an exhausted budget for retries in the region of the picked node, which is not tried. Another
    /// target may be in a region with a budget.
    pub(crate) fn on_no_budget(&mut self, now: Instant) -> Step {
        // Whether discovery is complete does not matter: there is a node.
        let failure = CallFailure::NoNode(Known::default());
        self.on_no_candidate(NoCandidate { failure, discovery_ready: true }, now)
    }

    /// Handles a pick that found no node.
    pub(crate) fn on_no_candidate(&mut self, none: NoCandidate, now: Instant) -> Step {
        if self.goes_on(|| none.failure.clone()) {
            return Step::Pick;
        }
        if !self.in_flight.is_empty() {
            return Step::AwaitAttempts;
        }
        let failure = self.take_failure().unwrap_or(none.failure);
        if !none.discovery_ready && failure.may_change_with_discovery() {
            return self.wait_for_discovery(now);
        }
        self.wait_or_fail(failure, now)
    }

    /// Handles the result of dialing a node, which a pick had requested.
    pub(crate) fn on_dialed(&mut self, node: NodeInfo, dialed: Dialed) -> Step {
        match dialed {
            Dialed::Linked => self.pick_or_await(),
            Dialed::Failed => {
                self.tried.push(node);
                self.pick_or_await()
            }
            Dialed::TimedOut => {
                let failure = AttemptFailure::Timeout { sent: false };
                self.on_final(CallFailure::At { node, failure })
            }
        }
    }

    /// Handles the end of a wait, after which a new round starts. The nodes that refused the call are
    /// asked again only when it is this call's turn.
    pub(crate) fn on_waited(&mut self, waited: Waited) -> Step {
        if waited == Waited::Turn {
            self.refused.clear();
            self.last_failure = None;
        }
        let refused = &self.refused;
        self.tried.retain(|node| refused.contains(node.id()));
        self.targets.restart();
        self.first_failure = None;
        self.may_change = false;
        self.pick_or_await()
    }

    /// Handles the shutdown of this node.
    pub(crate) fn on_shut_down(&mut self) -> Step {
        self.on_final(CallFailure::ShutDown)
    }

    fn on_retriable(
        &mut self,
        (node, target): (NodeInfo, usize),
        failure: AttemptFailure,
        replaced: bool,
        now: Instant,
    ) -> Step {
        self.learn(&node, &failure);
        let failure = CallFailure::At { node, failure };
        let is_first = !matches!(self.first_failure, Some(CallFailure::At { .. }));
        if target == 0 && is_first {
            self.first_failure = Some(failure.clone());
        }
        if failure.may_have_executed() {
            self.unsettled = Some(failure.clone());
        }
        if self.final_failure.is_some() {
            return self.pick_or_await();
        }
        if replaced && !self.in_flight.is_empty() {
            // The attempt that started when this attempt was late already serves as the retry.
            self.last_failure = Some(failure);
            return self.on_changed();
        }
        if self.may_start() || !self.in_flight.is_empty() {
            self.last_failure = Some(failure);
            return self.pick_or_await();
        }
        // Enough nodes were tried. They may accept the call later.
        let failure = self.first_failure.take().unwrap_or(failure);
        self.wait_or_fail(failure, now)
    }

    /// Records what a failure that permits a retry reveals about its node.
    fn learn(&mut self, node: &NodeInfo, failure: &AttemptFailure) {
        match failure {
            AttemptFailure::Disconnected { sent, .. } => {
                self.earn_free_retry();
                if !sent {
                    // Another link may exist by now: if two links were opened at once, one of them is
                    // drained.
                    self.allow_again(node);
                }
            }
            AttemptFailure::NotPrimary { .. } => {
                self.primary_moved |= !self.policy.wait.is_zero();
                self.refused.push(node.id().clone());
            }
            AttemptFailure::Refused(reason) => {
                if *reason == Refusal::Draining {
                    self.earn_free_retry();
                }
                self.refused.push(node.id().clone());
            }
            _ => {}
        }
    }

    fn earn_free_retry(&mut self) {
        if self.free_retry == FreeRetry::Unearned {
            self.free_retry = FreeRetry::Earned;
        }
    }

    /// Fails the call, unless this attempt certainly did not execute and another is in flight.
    fn on_final(&mut self, failure: CallFailure) -> Step {
        if failure.may_have_executed() {
            return self.fail(failure);
        }
        let failure = self.final_failure.take().unwrap_or(failure);
        if self.in_flight.is_empty() {
            return self.fail(failure);
        }
        self.final_failure = Some(failure);
        Step::AwaitAttempts
    }

    fn pick_or_await(&mut self) -> Step {
        if self.may_start() {
            return self.pick();
        }
        match self.final_failure.take_if(|_| self.in_flight.is_empty()) {
            Some(failure) => self.fail(failure),
            None => Step::AwaitAttempts,
        }
    }

    /// Picks on the first target, from the current one on, that may have another attempt.
    fn pick(&mut self) -> Step {
        if self.targets.is_exhausted_here() {
            self.goes_on(|| CallFailure::NoNode(Known::default()));
        }
        Step::Pick
    }

    /// Goes on to the next target, if there is one. `failure` is why the current one cannot take the call, if
    /// no attempt has failed.
    fn goes_on(&mut self, failure: impl FnOnce() -> CallFailure) -> bool {
        if !self.may_start() || !self.targets.advance() {
            return false;
        }
        let failure = self.last_failure.clone().unwrap_or_else(failure);
        self.may_change |= failure.may_change();
        // The first target is the first one that the call goes on from.
        self.first_failure.get_or_insert(failure);
        true
    }

    /// Takes the failure to report: that of the first target, or else the latest one.
    fn take_failure(&mut self) -> Option<CallFailure> {
        let last = self.last_failure.take();
        self.first_failure.take().or(last)
    }

    /// Waits until the deadline, because before the first round of discovery is complete, it is unknown
    /// whether a node exists.
    fn wait_for_discovery(&mut self, now: Instant) -> Step {
        match self.policy.deadline.saturating_duration_since(now) {
            Duration::ZERO => self.fail(CallFailure::Timeout { sent: false }),
            at_most => Step::WaitForChange { at_most, for_turn: false },
        }
    }

    fn wait_or_fail(&mut self, failure: CallFailure, now: Instant) -> Step {
        let RetryPolicy { started, deadline, wait, .. } = self.policy;
        // The wait may be too long to be added to an `Instant`, so it is clamped first.
        let until = started + wait.min(deadline.saturating_duration_since(started));
        match until.saturating_duration_since(now) {
            left if left.is_zero() || !(self.may_change || failure.may_change()) => {
                self.fail(failure)
            }
            left => {
                // Other failures are found again by the next pick, and may change by then.
                if let CallFailure::At { .. } = failure {
                    self.last_failure = Some(failure);
                }
                let for_turn = !self.refused.is_empty();
                let at_most = if for_turn { left } else { left.min(PICK_PAUSE) };
                Step::WaitForChange { at_most, for_turn }
            }
        }
    }

    /// Fails with `failure`. If an earlier attempt may have executed, the result reports that instead.
    fn fail(&mut self, failure: CallFailure) -> Step {
        Step::Fail(match (failure, self.unsettled.take()) {
            (CallFailure::Timeout { .. }, Some(_)) => CallFailure::Timeout { sent: true },
            (CallFailure::At { node, failure: AttemptFailure::Timeout { .. } }, Some(_)) => {
                CallFailure::At { node, failure: AttemptFailure::Timeout { sent: true } }
            }
            (failure, Some(earlier)) if !failure.may_have_executed() => earlier,
            (failure, _) => failure,
        })
    }

    fn take_in_flight(&mut self, number: u32) -> InFlight {
        let at = self.in_flight.iter().position(|attempt| attempt.number == number);
        self.in_flight.swap_remove(at.expect("an attempt ends once"))
    }

    fn allow_again(&mut self, node: &NodeInfo) {
        self.tried.retain(|tried| tried.id() != node.id());
    }
}
