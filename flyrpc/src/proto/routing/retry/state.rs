//! The attempts of one call: whether another may start, how long to wait for a change, and which
//! failure the call reports.
//!
//! The rule is *at most once*: another node is tried only if the call surely did not start on those
//! before, or if its method is idempotent and it was the link that failed. For an idempotent method
//! several attempts may be in flight at once; the first reply ends the call, and so does the first
//! failure that leaves nothing to hope for, as in gRPC's hedging (proposal A6).

use std::time::{Duration, Instant};

use crate::{
    error::Unsupported,
    proto::routing::failure::{AttemptFailure, CallFailure},
    types::NodeInfo,
};

/// How many attempts a call makes before it waits or fails.
const MAX_ATTEMPTS: u32 = 3;

/// How long a waiting call leaves alone the nodes that it has tried, if nothing changes before.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// The number of the first attempt of a call.
pub(crate) const FIRST_ATTEMPT: u32 = 1;

/// What decides on the retries of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    pub(crate) idempotent: bool,
    /// When the call was made.
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    /// How long to wait for a node, from the start of the call.
    pub(crate) wait: Duration,
}

/// How an attempt ended that brought no reply.
#[derive(Debug, Clone)]
pub(crate) enum AttemptEnd {
    /// The link was closed before anything was sent: there may be another to the same node.
    LinkClosed,
    /// The node does not take the arguments of this call, so nothing was sent.
    Incompatible(Unsupported),
    Failed(AttemptFailure),
}

impl AttemptEnd {
    /// How the attempt failed, if it counts as one.
    pub(crate) fn failure(&self) -> Option<&AttemptFailure> {
        match self {
            AttemptEnd::LinkClosed | AttemptEnd::Incompatible(_) => None,
            AttemptEnd::Failed(failure) => Some(failure),
        }
    }
}

impl From<AttemptFailure> for AttemptEnd {
    fn from(failure: AttemptFailure) -> Self {
        AttemptEnd::Failed(failure)
    }
}

/// That no node can be picked.
#[derive(Debug, Clone)]
pub(crate) struct NoCandidate {
    pub(crate) failure: CallFailure,
    /// Whether the first round of discovery is complete. Before, there may be nodes that this one
    /// has not found.
    pub(crate) discovery_ready: bool,
}

/// How dialing a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialed {
    Linked,
    Failed,
    /// The call's deadline passed first.
    TimedOut,
}

/// What the call does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Pick a node that was not [tried](Retry::tried), and start an attempt on it.
    Pick,
    /// Wait for one of the attempts in flight to end.
    AwaitAttempts,
    /// Wait until more is known of the cluster, but no longer than this.
    WaitForChange {
        at_most: Duration,
    },
    Fail(CallFailure),
}

/// The retries of one call.
///
/// The driver reports what happened by the `on_*` methods, and does what they answer. A reply ends the
/// call without further questions; so does a failed step, whatever else is in flight.
#[derive(Debug)]
pub(crate) struct Retry {
    policy: RetryPolicy,
    /// Attempts of this round that count: those in flight, and those that failed on a node.
    counted: u32,
    in_flight: Vec<InFlight>,
    /// Nodes of this round, those of the attempts in flight included.
    tried: Vec<NodeInfo>,
    /// The latest failure that permitted another attempt: what the call reports if there is none.
    last_failure: Option<CallFailure>,
    /// The latest failure of an attempt that may have executed. What fails later and did not execute
    /// says nothing of that attempt.
    unsettled: Option<CallFailure>,
    primary_moved: bool,
}

#[derive(Debug)]
struct InFlight {
    number: u32,
    node: NodeInfo,
}

impl Retry {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Retry {
            policy,
            counted: 0,
            in_flight: Vec::new(),
            tried: Vec::new(),
            last_failure: None,
            unsettled: None,
            primary_moved: false,
        }
    }

    /// Nodes to leave out of the next pick.
    pub(crate) fn tried(&self) -> &[NodeInfo] {
        &self.tried
    }

    /// Whether a call that waits for the primary found that the configured region is not primary any
    /// more. Such a call goes to any node that considers itself primary.
    pub(crate) fn primary_moved(&self) -> bool {
        self.primary_moved
    }

    /// Whether an attempt may start now, beside those in flight.
    pub(crate) fn may_start(&self) -> bool {
        self.counted < MAX_ATTEMPTS && (self.in_flight.is_empty() || self.policy.idempotent)
    }

    /// Starts an attempt on a node, and gives its number, from 1.
    pub(crate) fn start(&mut self, node: &NodeInfo) -> u32 {
        debug_assert!(self.may_start());
        // Differs from the numbers in flight, even if an earlier attempt did not count after all.
        let in_flight = self.in_flight.iter().map(|attempt| attempt.number).max().unwrap_or(0);
        let number = in_flight.max(self.counted) + 1;
        self.counted += 1;
        self.in_flight.push(InFlight { number, node: node.clone() });
        self.tried.push(node.clone());
        number
    }

    /// Attempt `number` ended without a reply.
    pub(crate) fn on_ended(&mut self, number: u32, end: AttemptEnd, now: Instant) -> Step {
        let node = self.take_in_flight(number);
        match end {
            AttemptEnd::LinkClosed => {
                self.counted -= 1;
                self.allow_again(&node);
                self.pick_or_await()
            }
            AttemptEnd::Incompatible(why) => {
                self.counted -= 1;
                let failure = AttemptFailure::Unsupported(why);
                self.last_failure = Some(CallFailure::At { node, failure });
                self.pick_or_await()
            }
            AttemptEnd::Failed(failure) if failure.permits_retry(self.policy.idempotent) => {
                self.on_retriable(node, failure, now)
            }
            AttemptEnd::Failed(failure) => self.on_final(CallFailure::At { node, failure }),
        }
    }

    /// No node can be picked.
    pub(crate) fn on_no_candidate(&mut self, none: NoCandidate, now: Instant) -> Step {
        if !self.in_flight.is_empty() {
            return Step::AwaitAttempts;
        }
        let failure = self.last_failure.take().unwrap_or(none.failure);
        if !none.discovery_ready && failure.may_change_with_discovery() {
            return self.wait_for_discovery(now);
        }
        self.wait_or_fail(failure, now)
    }

    /// The pick asked for a link to a node, and dialing it ended.
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

    /// The wait is over: something changed, or the time is up. A new round begins.
    pub(crate) fn on_waited(&mut self) -> Step {
        self.tried.clear();
        self.counted = 0;
        self.pick_or_await()
    }

    /// This node was shut down.
    pub(crate) fn on_shut_down(&mut self) -> Step {
        self.on_final(CallFailure::ShutDown)
    }

    fn on_retriable(&mut self, node: NodeInfo, failure: AttemptFailure, now: Instant) -> Step {
        let waits = !self.policy.wait.is_zero();
        self.primary_moved |= waits && matches!(failure, AttemptFailure::NotPrimary { .. });
        if let AttemptFailure::Disconnected { sent: false, .. } = failure {
            // The link may have a successor by now: of two that were opened at once one is given up.
            self.allow_again(&node);
        }
        let failure = CallFailure::At { node, failure };
        if failure.may_have_executed() {
            self.unsettled = Some(failure.clone());
        }
        if self.may_start() || !self.in_flight.is_empty() {
            self.last_failure = Some(failure);
            return self.pick_or_await();
        }
        // Enough nodes were asked; in a while they may take the call.
        self.wait_or_fail(failure, now)
    }

    /// Fails, unless an attempt in flight may still succeed and nothing has executed yet.
    fn on_final(&mut self, failure: CallFailure) -> Step {
        if self.in_flight.is_empty() || failure.may_have_executed() {
            return self.fail(failure);
        }
        self.last_failure = Some(failure);
        Step::AwaitAttempts
    }

    fn pick_or_await(&self) -> Step {
        if self.may_start() { Step::Pick } else { Step::AwaitAttempts }
    }

    /// Before the first round of discovery is complete, nobody can say that there is no node.
    fn wait_for_discovery(&mut self, now: Instant) -> Step {
        match self.policy.deadline.saturating_duration_since(now) {
            Duration::ZERO => self.fail(CallFailure::Timeout { sent: false }),
            at_most => Step::WaitForChange { at_most },
        }
    }

    fn wait_or_fail(&mut self, failure: CallFailure, now: Instant) -> Step {
        let RetryPolicy { started, deadline, wait, .. } = self.policy;
        // The wait may be longer than any time that can be added.
        let until = started + wait.min(deadline.saturating_duration_since(started));
        match until.saturating_duration_since(now) {
            left if left.is_zero() || !failure.may_change() => self.fail(failure),
            left => Step::WaitForChange { at_most: left.min(REFUSED_PAUSE) },
        }
    }

    /// Fails with `failure`, or with what tells that an earlier attempt may have executed.
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

    fn take_in_flight(&mut self, number: u32) -> NodeInfo {
        let at = self.in_flight.iter().position(|attempt| attempt.number == number);
        self.in_flight.swap_remove(at.expect("an attempt ends once")).node
    }

    fn allow_again(&mut self, node: &NodeInfo) {
        self.tried.retain(|tried| tried.id() != node.id());
    }
}
