//! The attempts of one call. Decides whether another attempt may start, how long to wait for a change,
//! and which failure the call reports.
//!
//! The rule is *at most once*: another node is tried only if the call certainly did not start on the
//! earlier nodes, or if its method is idempotent and the link failed.
//!
//! For an idempotent method, several attempts may be in flight at once. The first reply ends the call.
//! So does the first attempt that may have executed and whose failure permits no retry, as in gRPC's
//! hedging (proposal A6).

use std::time::{Duration, Instant};

use crate::{
    error::Unsupported,
    proto::routing::failure::{AttemptFailure, CallFailure},
    types::NodeInfo,
};

/// Upper bound on the attempts of a call before it waits or fails.
const MAX_ATTEMPTS: u32 = 3;

/// How long a waiting call pauses before it tries the same nodes again. A change of the table ends the
/// pause early.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// The number of the first attempt of a call.
pub(crate) const FIRST_ATTEMPT: u32 = 1;

/// The properties of a call that determine its retries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    pub(crate) idempotent: bool,
    /// When the call started.
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    /// How long to wait for a node, from the start of the call.
    pub(crate) wait: Duration,
}

/// How an attempt without a reply ended.
#[derive(Debug, Clone)]
pub(crate) enum AttemptEnd {
    /// The link was closed before anything was sent. There may be another link to the same node.
    LinkClosed,
    /// The node does not accept the arguments of this call, so nothing was sent.
    Incompatible(Unsupported),
    Failed(AttemptFailure),
}

impl AttemptEnd {
    /// Returns how the attempt failed, or `None` if it does not count as an attempt.
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

/// The result of a pick that found no node.
#[derive(Debug, Clone)]
pub(crate) struct NoCandidate {
    pub(crate) failure: CallFailure,
    /// Whether the first round of discovery is complete. Before that, there may be nodes that this one
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

/// The next step of a call.
#[derive(Debug)]
pub(crate) enum Step {
    /// Pick a node that was not [tried](Retry::tried), and start an attempt on it.
    Pick,
    /// Wait for one of the attempts in flight to end.
    AwaitAttempts,
    /// Wait until the table of known nodes changes, but no longer than this.
    WaitForChange {
        at_most: Duration,
    },
    Fail(CallFailure),
}

/// The retries of one call.
///
/// The driver reports events through the `on_*` methods, and executes the steps that they return. A
/// reply ends the call, and so does [`Step::Fail`], even if attempts are in flight.
#[derive(Debug)]
pub(crate) struct Retry {
    policy: RetryPolicy,
    /// The number of attempts of this round that count: those in flight, and those that failed on a node.
    counted: u32,
    in_flight: Vec<InFlight>,
    /// The nodes tried in this round, including those of the attempts in flight.
    tried: Vec<NodeInfo>,
    /// The latest failure that did not end the call. The call reports it if no further attempt is made.
    last_failure: Option<CallFailure>,
    /// The latest failure of an attempt that may have executed. A later attempt that failed without
    /// executing does not show whether this one executed.
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

    /// Returns the nodes to exclude from the next pick.
    pub(crate) fn tried(&self) -> &[NodeInfo] {
        &self.tried
    }

    /// Returns whether a waiting call found that the configured region is no longer primary. Such a call
    /// goes to any node that considers itself primary.
    pub(crate) fn primary_moved(&self) -> bool {
        self.primary_moved
    }

    /// Returns whether an attempt may start now, in addition to those in flight.
    pub(crate) fn may_start(&self) -> bool {
        self.counted < MAX_ATTEMPTS && (self.in_flight.is_empty() || self.policy.idempotent)
    }

    /// Starts an attempt on a node, and returns its number, from 1.
    pub(crate) fn start(&mut self, node: &NodeInfo) -> u32 {
        debug_assert!(self.may_start());
        // The number differs from those in flight, even if an earlier attempt turned out not to count.
        let in_flight = self.in_flight.iter().map(|attempt| attempt.number).max().unwrap_or(0);
        let number = in_flight.max(self.counted) + 1;
        self.counted += 1;
        self.in_flight.push(InFlight { number, node: node.clone() });
        self.tried.push(node.clone());
        number
    }

    /// Handles the end of attempt `number`, which returned no reply.
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

    /// Handles a pick that found no node.
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

    /// Handles the end of a wait, because the table changed or the time elapsed. A new round begins.
    pub(crate) fn on_waited(&mut self) -> Step {
        self.tried.clear();
        self.counted = 0;
        self.pick_or_await()
    }

    /// Handles the shutdown of this node.
    pub(crate) fn on_shut_down(&mut self) -> Step {
        self.on_final(CallFailure::ShutDown)
    }

    fn on_retriable(&mut self, node: NodeInfo, failure: AttemptFailure, now: Instant) -> Step {
        let waits = !self.policy.wait.is_zero();
        self.primary_moved |= waits && matches!(failure, AttemptFailure::NotPrimary { .. });
        if let AttemptFailure::Disconnected { sent: false, .. } = failure {
            // There may be another link by now: of two links that were opened at once, one is drained.
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
        // Enough nodes were tried. They may accept the call later.
        self.wait_or_fail(failure, now)
    }

    /// Fails the call, unless this attempt certainly did not execute and another is in flight.
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

    /// Waits until the deadline, because before the first round of discovery is complete, it is unknown
    /// whether a node exists.
    fn wait_for_discovery(&mut self, now: Instant) -> Step {
        match self.policy.deadline.saturating_duration_since(now) {
            Duration::ZERO => self.fail(CallFailure::Timeout { sent: false }),
            at_most => Step::WaitForChange { at_most },
        }
    }

    fn wait_or_fail(&mut self, failure: CallFailure, now: Instant) -> Step {
        let RetryPolicy { started, deadline, wait, .. } = self.policy;
        // The wait may be too long to be added to an `Instant`, so it is clamped first.
        let until = started + wait.min(deadline.saturating_duration_since(started));
        match until.saturating_duration_since(now) {
            left if left.is_zero() || !failure.may_change() => self.fail(failure),
            left => Step::WaitForChange { at_most: left.min(REFUSED_PAUSE) },
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

    fn take_in_flight(&mut self, number: u32) -> NodeInfo {
        let at = self.in_flight.iter().position(|attempt| attempt.number == number);
        self.in_flight.swap_remove(at.expect("an attempt ends once")).node
    }

    fn allow_again(&mut self, node: &NodeInfo) {
        self.tried.retain(|tried| tried.id() != node.id());
    }
}
