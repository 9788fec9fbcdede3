//! The attempts of a call on one target.

use std::time::Duration;

use super::*;
use crate::{
    error::BodyError,
    proto::routing::retry::{Dialed, Waited},
};

/// When a class of failure permits an attempt on another node.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Retries {
    Always,
    IfIdempotent,
    Never,
}

/// The rule *at most once*: each way in which an attempt can end without a reply, whether another may
/// start after it, and whether it may have executed.
fn rule() -> Vec<(&'static str, AttemptEnd, Retries, bool)> {
    use Retries::{Always, IfIdempotent, Never};
    let failed = AttemptEnd::Failed;
    let region = || Region::from("hkg");
    let not_primary = AttemptFailure::NotPrimary { theirs: region(), ours: region() };
    let bad = || BodyError::new("", "");
    vec![
        ("link closed", AttemptEnd::LinkClosed, Always, false),
        ("incompatible", unsupported(), Always, false),
        ("unsupported", failed(AttemptFailure::Unsupported(Unsupported::Method)), Always, false),
        ("not primary", failed(not_primary), Always, false),
        ("refused", refused(), Always, false),
        ("denied", denied(), Never, false),
        ("disconnected, unsent", disconnected(false), Always, false),
        ("disconnected, sent", disconnected(true), IfIdempotent, true),
        ("timeout, unsent", timeout(false), Never, false),
        ("timeout, sent", timeout(true), Never, true),
        ("panicked", panicked(), Never, true),
        (
            "bad reply",
            failed(AttemptFailure::BadReply { encoded: true, source: bad() }),
            Never,
            true,
        ),
        (
            "reply too large",
            failed(AttemptFailure::ReplyTooLarge { size: 2, limit: 1 }),
            Never,
            true,
        ),
        ("encode", failed(AttemptFailure::Encode(bad())), Never, false),
        ("arguments too large for any", failed(too_large(LimitOf::Caller)), Never, false),
        ("arguments too large there", failed(too_large(LimitOf::Peer)), Always, false),
        ("arguments not sent", AttemptEnd::NotSent(too_large(LimitOf::Peer)), Always, false),
    ]
}

#[test]
fn at_most_once_after_each_outcome_of_earlier_attempts() {
    let earlier = [
        ("none", None, Retries::Always, false),
        ("refused", Some(refused()), Retries::Always, false),
        ("maybe executed", Some(disconnected(true)), Retries::IfIdempotent, true),
    ];
    for (class, end, retries, executed) in rule() {
        for idempotent in [false, true] {
            for (before, earlier, possible, executed_before) in earlier.clone() {
                if possible == Retries::IfIdempotent && !idempotent {
                    continue;
                }
                let case = format!("{class}, idempotent: {idempotent}, before: {before}");
                let mut sim = Sim::new(idempotent, Duration::ZERO);
                if let Some(earlier) = earlier {
                    check_picks(&sim.attempt("a", earlier));
                }
                let step = sim.attempt("b", end.clone());
                let another =
                    retries == Retries::Always || (retries == Retries::IfIdempotent && idempotent);
                assert_eq!(matches!(step, Step::Pick), another, "{case}");
                let last = if another { sim.no_candidate() } else { step };
                let may_have_executed = failure(last).may_have_executed();
                assert_eq!(may_have_executed, executed || executed_before, "{case}");
            }
        }
    }
}

#[test]
fn at_most_once_while_a_second_attempt_is_in_flight() {
    for (class, end, retries, executed) in rule() {
        for (other, other_executed) in [(refused(), false), (disconnected(true), true)] {
            let mut sim = Sim::idempotent();
            let (first, second) = (sim.start("a"), sim.start("b"));
            match sim.end(second, end.clone()) {
                // The failure is final, and reports that the attempt may have executed.
                Step::Fail(failure) => {
                    assert!(retries == Retries::Never && executed, "{class}");
                    assert!(failure.may_have_executed(), "{class}");
                    continue;
                }
                Step::Pick => assert_ne!(retries, Retries::Never, "{class}"),
                Step::AwaitAttempts => assert!(retries == Retries::Never && !executed, "{class}"),
                step => panic!("{class}: {step:?}"),
            }
            // The call cannot fail while the first attempt may still return a reply.
            let waits = sim.no_candidate();
            assert!(matches!(waits, Step::AwaitAttempts), "{class}: {waits:?}");
            let step = sim.end(first, other);
            let last = if let Step::Pick = step { sim.no_candidate() } else { step };
            let may_have_executed = failure(last).may_have_executed();
            assert_eq!(may_have_executed, executed || other_executed, "{class}");
        }
    }
}

#[test]
fn only_an_idempotent_call_has_two_attempts_in_flight() {
    let mut sim = Sim::new(false, Duration::ZERO);
    sim.start("a");
    assert!(!sim.retry.may_start());
    let mut sim = Sim::idempotent();
    assert_eq!((sim.start("a"), sim.start("b"), sim.start("c")), (1, 2, 3));
    assert_eq!(sim.tried(), ["a", "b", "c"]);
    assert!(!sim.retry.may_start(), "at most three attempts");
}

#[test]
fn attempts_in_flight_never_share_a_number() {
    let mut sim = Sim::idempotent();
    let (first, second) = (sim.start("a"), sim.start("b"));
    check_picks(&sim.end(first, AttemptEnd::LinkClosed));
    let third = sim.start("a");
    assert_ne!(third, second);
}

#[test]
fn three_attempts_are_made_and_the_first_failure_is_reported() {
    let mut sim = Sim::new(false, Duration::ZERO);
    for (number, name) in [(1, "a"), (2, "b")] {
        assert_eq!(sim.start(name), number);
        check_picks(&sim.end(number, refused()));
    }
    let failure = failure(sim.attempt("c", refused()));
    assert!(matches!(&failure, CallFailure::At { node, .. } if node.name() == "a"), "{failure:?}");
}

#[test]
fn an_attempt_that_sent_nothing_does_not_count() {
    let mut sim = Sim::new(false, Duration::ZERO);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(sim.start(name), 1);
        check_picks(&sim.end(1, unsupported()));
    }
    check_picks(&sim.attempt("e", AttemptEnd::LinkClosed));
    // The node may have another link.
    assert_eq!(sim.tried(), ["a", "b", "c", "d"]);
    check_picks(&sim.attempt("e", disconnected(false)));
    assert_eq!(sim.tried(), ["a", "b", "c", "d"]);
    assert_eq!(sim.start("e"), 2);
}

#[test]
fn a_timeout_after_an_attempt_that_may_have_executed_counts_as_sent() {
    let mut sim = Sim::idempotent();
    check_picks(&sim.attempt("a", disconnected(true)));
    let failure = failure(sim.attempt("b", timeout(false)));
    let is_timeout_of_b = matches!(
        &failure,
        CallFailure::At { node, failure: AttemptFailure::Timeout { sent: true } }
            if node.name() == "b"
    );
    assert!(is_timeout_of_b, "{failure:?}");
}

#[test]
fn a_shutdown_after_an_attempt_that_may_have_executed_reports_that_attempt() {
    let mut sim = Sim::idempotent();
    check_picks(&sim.attempt("a", disconnected(true)));
    let failure = failure(sim.retry.on_shut_down());
    assert!(failure.may_have_executed(), "{failure:?}");
}

#[test]
fn a_waiting_call_pauses_after_refusals_and_begins_a_new_round() {
    let mut sim = Sim::waiting();
    check_picks(&sim.attempt("a", refused()));
    check_waits_for_turn(&sim.no_candidate(), Duration::from_secs(1));
    check_picks(&sim.retry.on_waited(Waited::Turn));
    assert!(sim.tried().is_empty());
    assert_eq!(sim.start("a"), 1);
    check_picks(&sim.end(1, refused()));
    sim.now += Duration::from_millis(950);
    check_waits_for_turn(&sim.no_candidate(), Duration::from_millis(50));
    check_picks(&sim.retry.on_waited(Waited::Changed));
    sim.now += Duration::from_millis(50);
    let failure = failure(sim.no_candidate());
    let is_refusal =
        matches!(&failure, CallFailure::At { failure: AttemptFailure::Refused(Refusal::Held), .. });
    assert!(is_refusal, "{failure:?}");
}

#[test]
fn a_change_offers_a_waiting_call_every_node_but_those_that_refused_it() {
    let mut sim = Sim::new(true, Duration::from_secs(3));
    check_picks(&sim.attempt("a", refused()));
    check_picks(&sim.attempt("b", disconnected(true)));
    check_waits_for_turn(&sim.attempt("c", refused()), Duration::from_secs(3));
    check_picks(&sim.retry.on_waited(Waited::Changed));
    assert_eq!(sim.tried(), ["a", "c"]);
    check_picks(&sim.attempt("d", refused()));
    check_waits_for_turn(&sim.no_candidate(), Duration::from_secs(3));
    check_picks(&sim.retry.on_waited(Waited::Turn));
    assert!(sim.tried().is_empty());
}

#[test]
fn a_call_on_a_quiet_node_gets_its_next_attempt_beside_the_first() {
    let mut sim = Sim::idempotent();
    let first = sim.start("a");
    check_picks(&sim.retry.on_quiet(first));
    let second = sim.start("b");
    assert!(!sim.retry.wants_another());
    // The loss of the quiet link starts no third attempt, because the second one is its retry.
    check_awaits(&sim.end(first, disconnected(true)));
    check_picks(&sim.end(second, disconnected(true)));
    sim.start("c");
    assert!(!sim.retry.may_start(), "at most three attempts");
}

#[test]
fn a_call_on_a_quiet_node_waits_for_a_node_to_appear_while_there_is_no_other() {
    let mut sim = Sim::idempotent();
    let first = sim.start("a");
    check_picks(&sim.retry.on_quiet(first));
    check_awaits(&sim.no_candidate());
    assert!(sim.retry.wants_another());
    check_picks(&sim.retry.on_changed());
    sim.start("b");
    check_awaits(&sim.retry.on_changed());
}

#[test]
fn a_call_that_may_run_once_only_stays_on_a_quiet_node() {
    let mut sim = Sim::new(false, Duration::ZERO);
    let first = sim.start("a");
    check_awaits(&sim.retry.on_quiet(first));
    assert!(!sim.retry.wants_another());
}

#[test]
fn one_retry_after_a_lost_or_quiet_link_or_a_drain_is_free() {
    for end in [disconnected(true), disconnected(false), draining()] {
        let mut sim = Sim::idempotent();
        assert!(!sim.retry.is_next_charged());
        check_picks(&sim.attempt("a", end.clone()));
        assert!(!sim.retry.is_next_charged(), "{end:?}");
        check_picks(&sim.attempt("b", end));
        assert!(sim.retry.is_next_charged());
    }
    let mut sim = Sim::idempotent();
    let first = sim.start("a");
    check_picks(&sim.retry.on_quiet(first));
    assert!(!sim.retry.is_next_charged());
    let second = sim.start("b");
    check_picks(&sim.retry.on_quiet(second));
    assert!(sim.retry.is_next_charged());
}

#[test]
fn a_retry_after_a_refusal_is_charged_and_one_after_nothing_was_sent_is_not() {
    let mut sim = Sim::new(false, Duration::ZERO);
    check_picks(&sim.attempt("a", unsupported()));
    assert!(!sim.retry.is_next_charged());
    check_picks(&sim.attempt("b", refused()));
    assert!(sim.retry.is_next_charged());
}

#[test]
fn without_a_budget_a_call_fails_or_waits_for_its_turn() {
    let mut sim = Sim::new(false, Duration::ZERO);
    check_picks(&sim.attempt("a", refused()));
    let failure = failure(sim.retry.on_no_budget(sim.now));
    assert!(matches!(&failure, CallFailure::At { node, .. } if node.name() == "a"), "{failure:?}");
    let mut sim = Sim::waiting();
    check_picks(&sim.attempt("a", refused()));
    check_waits_for_turn(&sim.retry.on_no_budget(sim.now), Duration::from_secs(1));
    let mut sim = Sim::idempotent();
    sim.start("a");
    check_awaits(&sim.retry.on_no_budget(sim.now));
}

#[test]
fn waiting_does_not_help_where_no_node_supports_the_call() {
    let mut sim = Sim::waiting();
    let failure = CallFailure::At {
        node: node("a"),
        failure: AttemptFailure::Unsupported(Unsupported::Method),
    };
    let step = sim.retry.on_no_candidate(NoCandidate { failure, ..nobody() }, sim.now);
    assert!(matches!(step, Step::Fail(_)), "{step:?}");
}

#[test]
fn every_call_waits_for_the_first_round_of_discovery() {
    let mut sim = Sim::new(false, Duration::ZERO);
    let unready = || NoCandidate { discovery_ready: false, ..nobody() };
    let step = sim.retry.on_no_candidate(unready(), sim.now);
    check_waits(&step, Duration::from_secs(5));
    check_picks(&sim.retry.on_waited(Waited::Changed));
    sim.now += Duration::from_secs(5);
    let failure = failure(sim.retry.on_no_candidate(unready(), sim.now));
    assert!(matches!(failure, CallFailure::Timeout { sent: false }), "{failure:?}");
}

#[test]
fn an_unlimited_wait_ends_at_the_deadline() {
    let mut sim = Sim::new(false, Duration::MAX);
    sim.now += Duration::from_millis(4_990);
    check_waits(&sim.no_candidate(), Duration::from_millis(10));
}

#[test]
fn only_a_waiting_call_looks_for_a_primary_that_moved() {
    for (mut sim, moved) in [(Sim::new(false, Duration::ZERO), false), (Sim::waiting(), true)] {
        let (theirs, ours) = (Region::from("iad"), Region::from("hkg"));
        let not_primary = AttemptFailure::NotPrimary { theirs, ours };
        check_picks(&sim.attempt("a", AttemptEnd::Failed(not_primary)));
        assert_eq!(sim.retry.primary_moved(), moved);
    }
}

#[test]
fn a_change_while_a_node_is_dialed_may_offer_another_node() {
    for idempotent in [false, true] {
        let mut sim = Sim::new(idempotent, Duration::ZERO);
        check_picks(&sim.retry.on_changed());
        sim.retry.start(&node("b"));
        assert!(matches!(sim.retry.on_changed(), Step::AwaitAttempts));
    }
}

#[test]
fn a_node_that_cannot_be_dialed_is_excluded() {
    let mut sim = Sim::new(false, Duration::ZERO);
    check_picks(&sim.retry.on_dialed(node("a"), Dialed::Linked));
    assert!(sim.tried().is_empty());
    check_picks(&sim.retry.on_dialed(node("a"), Dialed::Failed));
    assert_eq!(sim.tried(), ["a"]);
    let failure = failure(sim.retry.on_dialed(node("b"), Dialed::TimedOut));
    assert!(!failure.may_have_executed(), "{failure:?}");
}

#[test]
fn after_a_node_has_denied_a_call_no_other_is_tried() {
    // One attempt is in flight on a quiet node, which may still reply.
    for end in [disconnected(false), refused(), AttemptEnd::LinkClosed, timeout(false)] {
        let mut sim = Sim::with_targets(2, true, Duration::from_secs(1));
        let first = sim.start("a");
        check_picks(&sim.retry.on_quiet(first));
        let second = sim.start("b");
        check_awaits(&sim.end(second, denied()));
        assert!(!sim.retry.may_start());
        check_awaits(&sim.retry.on_changed());
        let failure = failure(sim.end(first, end));
        let CallFailure::At { node, failure } = failure else { panic!("{failure:?}") };
        assert!(node.name() == "b" && matches!(failure, AttemptFailure::Denied { .. }));
    }
    let mut sim = Sim::idempotent();
    let first = sim.start("a");
    check_picks(&sim.retry.on_quiet(first));
    let second = sim.start("b");
    check_awaits(&sim.end(second, denied()));
    assert!(failure(sim.end(first, disconnected(true))).may_have_executed());
}
