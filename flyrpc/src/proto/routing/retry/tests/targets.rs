//! Calls with several targets.

use std::time::Duration;

use super::*;
use crate::proto::routing::retry::Waited;

/// A call with two targets that may execute once.
fn two_targets() -> Sim {
    Sim::with_targets(2, false, Duration::ZERO)
}

impl Sim {
    /// The target of the next pick, and whether unresponsive nodes are accepted.
    fn position(&self) -> (usize, bool) {
        (self.retry.target(), self.retry.accepts_unresponsive())
    }
}

#[track_caller]
fn check_refused_by(step: Step, name: &str) {
    let CallFailure::At { node, failure: AttemptFailure::Refused(_) } = failure(step) else {
        panic!("not refused")
    };
    assert_eq!(node.name(), name);
}

#[test]
fn each_target_without_a_node_is_passed_over_and_then_unresponsive_nodes_are_accepted() {
    let mut sim = two_targets();
    assert_eq!(sim.position(), (0, false));
    for position in [(1, false), (0, true), (1, true)] {
        check_picks(&sim.no_candidate());
        assert_eq!(sim.position(), position);
    }
    assert!(matches!(failure(sim.no_candidate()), CallFailure::NoNode(_)));
}

#[test]
fn the_first_failure_on_the_first_target_is_reported() {
    let mut sim = two_targets();
    check_picks(&sim.attempt("a", refused()));
    check_picks(&sim.no_candidate());
    check_picks(&sim.attempt("b", unsupported()));
    check_refused_by(sim.no_candidate(), "a");
}

#[test]
fn an_attempt_on_an_unresponsive_node_explains_more_than_that_there_was_none() {
    let mut sim = two_targets();
    (0..2).for_each(|_| check_picks(&sim.no_candidate()));
    assert_eq!(sim.position(), (0, true));
    check_picks(&sim.attempt("a", refused()));
    check_picks(&sim.no_candidate());
    check_refused_by(sim.no_candidate(), "a");
}

#[test]
fn after_three_attempts_the_next_target_is_picked_and_after_six_the_call_fails() {
    let mut sim = Sim::with_targets(3, false, Duration::ZERO);
    for name in ["a", "b", "c"] {
        assert_eq!(sim.position().0, 0);
        check_picks(&sim.attempt(name, refused()));
    }
    assert_eq!(sim.position().0, 1);
    check_picks(&sim.attempt("d", refused()));
    check_picks(&sim.attempt("e", refused()));
    check_refused_by(sim.attempt("f", refused()), "a");
}

#[test]
fn a_call_that_may_have_executed_fails_without_another_target() {
    let mut sim = two_targets();
    assert!(failure(sim.attempt("a", disconnected(true))).may_have_executed());
    let mut sim = Sim::with_targets(2, true, Duration::ZERO);
    check_picks(&sim.attempt("a", disconnected(true)));
    check_picks(&sim.no_candidate());
    assert!(failure(sim.no_candidate()).may_have_executed());
}

#[test]
fn an_exhausted_budget_leads_to_the_next_target() {
    let mut sim = two_targets();
    check_picks(&sim.attempt("a", refused()));
    check_picks(&sim.retry.on_no_budget(sim.now));
    assert_eq!(sim.position(), (1, false));
}

#[test]
fn the_first_attempt_on_each_target_is_a_call_and_not_a_retry() {
    let mut sim = Sim::with_targets(2, false, Duration::ZERO);
    assert!(sim.retry.is_next_a_call() && !sim.retry.is_next_charged());
    check_picks(&sim.attempt("a", refused()));
    assert!(!sim.retry.is_next_a_call() && sim.retry.is_next_charged());
    check_picks(&sim.no_candidate());
    assert_eq!(sim.position(), (1, false));
    assert!(sim.retry.is_next_a_call() && !sim.retry.is_next_charged());
    check_picks(&sim.attempt("b", refused()));
    assert!(!sim.retry.is_next_a_call() && sim.retry.is_next_charged());
}

#[test]
fn a_hedged_attempt_on_a_further_target_is_a_retry() {
    let mut sim = Sim::with_targets(2, true, Duration::ZERO);
    let first = sim.start("a");
    check_picks(&sim.retry.on_hedge_due(first));
    check_picks(&sim.no_candidate());
    assert_eq!(sim.position(), (1, false));
    assert!(!sim.retry.is_next_a_call() && sim.retry.is_next_charged());
}

#[test]
fn the_first_attempt_elsewhere_after_this_node_refused_is_a_call() {
    let mut sim = Sim::new(false, Duration::ZERO);
    let here = sim.retry.start_here(&node("me"));
    check_picks(&sim.end(here, refused()));
    assert!(sim.retry.is_next_a_call() && !sim.retry.is_next_charged());
    check_picks(&sim.attempt("a", refused()));
    assert!(sim.retry.is_next_charged());
}

#[test]
fn a_quiet_node_of_the_first_target_is_replaced_by_one_of_the_second() {
    let mut sim = Sim::with_targets(2, true, Duration::ZERO);
    let first = sim.start("a");
    check_picks(&sim.retry.on_quiet(first));
    assert_eq!(sim.position(), (0, false));
    check_picks(&sim.no_candidate());
    assert_eq!(sim.position(), (1, false));
    let second = sim.start("b");
    check_picks(&sim.end(second, refused()));
    check_awaits(&sim.no_candidate());
    // The attempt on b has served as the replacement.
    check_awaits(&sim.retry.on_changed());
}

#[test]
fn a_waiting_call_starts_its_next_round_at_the_first_target() {
    let mut sim = Sim::with_targets(2, false, Duration::from_secs(1));
    (0..3).for_each(|_| check_picks(&sim.no_candidate()));
    check_waits(&sim.no_candidate(), Duration::from_secs(1));
    check_picks(&sim.retry.on_waited(Waited::Changed));
    assert_eq!(sim.position(), (0, false));
}

#[test]
fn a_call_waits_if_one_of_its_targets_may_change() {
    let none = || NoCandidate {
        failure: CallFailure::At {
            node: node("a"),
            failure: AttemptFailure::Unsupported(Unsupported::Method),
        },
        discovery_ready: true,
    };
    let mut sim = Sim::with_targets(2, false, Duration::from_secs(1));
    check_picks(&sim.retry.on_no_candidate(none(), sim.now));
    check_picks(&sim.no_candidate());
    check_picks(&sim.retry.on_no_candidate(none(), sim.now));
    check_waits(&sim.no_candidate(), Duration::from_secs(1));
}
