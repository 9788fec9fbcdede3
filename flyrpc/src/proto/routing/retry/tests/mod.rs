//! Tests of the retries of a call, and their driver.

mod attempts;
mod targets;

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{AttemptEnd, NoCandidate, Retry, RetryPolicy, Step};
use crate::{
    error::{Known, Refusal, Unsupported},
    proto::routing::failure::{AttemptFailure, CallFailure, LimitOf},
    types::{NodeId, NodeInfo, Region},
};

fn node(name: &str) -> NodeInfo {
    NodeInfo::new(NodeId::new(name, 0), Region::from("hkg"), ([10, 0, 0, 1], 1).into())
}

fn refused() -> AttemptEnd {
    AttemptEnd::Failed(AttemptFailure::Refused(Refusal::Held))
}

fn unsupported() -> AttemptEnd {
    AttemptEnd::NotSent(AttemptFailure::Unsupported(Unsupported::Method))
}

fn denied() -> AttemptEnd {
    AttemptEnd::Failed(AttemptFailure::Denied { why: String::new() })
}

fn too_large(limit_of: LimitOf) -> AttemptFailure {
    AttemptFailure::ArgumentsTooLarge { size: 2, limit: 1, limit_of }
}

fn draining() -> AttemptEnd {
    AttemptEnd::Failed(AttemptFailure::Refused(Refusal::Draining))
}

fn timeout(sent: bool) -> AttemptEnd {
    AttemptEnd::Failed(AttemptFailure::Timeout { sent })
}

fn disconnected(sent: bool) -> AttemptEnd {
    let source: Arc<dyn Error + Send + Sync> = Arc::from(Box::from("the link ended"));
    AttemptEnd::Failed(AttemptFailure::Disconnected { sent, source })
}

fn panicked() -> AttemptEnd {
    AttemptEnd::Failed(AttemptFailure::Panicked { message: String::new() })
}

fn nobody() -> NoCandidate {
    NoCandidate { failure: CallFailure::NoNode(Known::default()), discovery_ready: true }
}

/// The retries of a call with a timeout of 5 s, and the current time.
struct Sim {
    retry: Retry,
    now: Instant,
}

impl Sim {
    fn new(idempotent: bool, wait: Duration) -> Self {
        Sim::with_targets(1, idempotent, wait)
    }

    fn with_targets(targets: usize, idempotent: bool, wait: Duration) -> Self {
        let started = Instant::now();
        let deadline = started + Duration::from_secs(5);
        let policy = RetryPolicy { idempotent, targets, started, deadline, wait };
        Sim { retry: Retry::new(policy), now: started }
    }

    fn idempotent() -> Self {
        Sim::new(true, Duration::ZERO)
    }

    /// A call that waits up to a second for a node.
    fn waiting() -> Self {
        Sim::new(false, Duration::from_secs(1))
    }

    fn start(&mut self, name: &str) -> u32 {
        self.retry.start(&node(name))
    }

    fn end(&mut self, number: u32, end: AttemptEnd) -> Step {
        self.retry.on_ended(number, end, self.now)
    }

    fn attempt(&mut self, name: &str, end: AttemptEnd) -> Step {
        let number = self.start(name);
        self.end(number, end)
    }

    fn no_candidate(&mut self) -> Step {
        self.retry.on_no_candidate(nobody(), self.now)
    }

    fn tried(&self) -> Vec<&str> {
        self.retry.tried().iter().map(NodeInfo::name).collect()
    }
}

#[track_caller]
fn failure(step: Step) -> CallFailure {
    match step {
        Step::Fail(failure) => failure,
        step => panic!("{step:?}"),
    }
}

#[track_caller]
fn check_picks(step: &Step) {
    assert!(matches!(step, Step::Pick), "{step:?}");
}

#[track_caller]
fn check_waits(step: &Step, at_most: Duration) {
    let Step::WaitForChange { at_most: is, for_turn: false } = *step else { panic!("{step:?}") };
    assert_eq!(is, at_most);
}

#[track_caller]
fn check_waits_for_turn(step: &Step, at_most: Duration) {
    let Step::WaitForChange { at_most: is, for_turn: true } = *step else { panic!("{step:?}") };
    assert_eq!(is, at_most);
}

#[track_caller]
fn check_awaits(step: &Step) {
    assert!(matches!(step, Step::AwaitAttempts), "{step:?}");
}
