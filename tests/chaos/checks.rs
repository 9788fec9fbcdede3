//! Checks the invariants that flyrpc guarantees for every call, regardless of faults.
//! [`explain`](super::explain) decides whether the faults explain an error.

use std::{collections::BTreeMap, time::Duration};

use flyrpc::RpcError;
use flyrpc_testkit::Trace;

use super::{
    addresses, attempts,
    attempts::{PER_CALL, PER_TARGET},
    bounds, budget,
    explain::{Case, explained},
    ledger::{EffectKind, HandlerRun, Outcome, Records},
    plan::{Cancel, Method, Plan},
};

/// tokio's timers fire on whole milliseconds, so they can be late by up to this much.
const TICK: Duration = Duration::from_millis(1);

/// Returns descriptions of the guarantees that a run violated.
pub(super) fn check(plan: &Plan, records: &Records, trace: &Trace) -> Vec<String> {
    let mut found = records.violations.clone();
    found.extend(addresses::check(plan, trace));
    let attempts = attempts::of_run(trace, records);
    found.extend(attempts::check(trace, &attempts));
    found.extend(budget::check(&attempts, |node| !jumps(records, node)));
    let retries = budget::retries_of(&attempts);
    for call in &records.calls {
        let case = Case { plan, records, call, retries: &retries, until: call.end() };
        let checks = [
            ends_by_its_deadline(&case),
            executes_at_most_once(&case),
            runs_on_a_target(&case),
            runs_by_its_deadline(&case),
            stops_after_cancellation(&case),
            gets_its_own_reply(&case),
            error_is_true(&case),
            explained(&case),
            bounds::fails_at_once(&case),
            bounds::moves_on(&case),
            bounds::is_as_fast_as_its_path(&case),
        ];
        found
            .extend(checks.into_iter().filter_map(Result::err).map(|why| format!("{why}: {case}")));
    }
    found
}

/// Whether the clock of a node jumps, so that its budgets forget retries early.
fn jumps(records: &Records, node: &str) -> bool {
    let of_node = |kind: &EffectKind| matches!(kind, EffectKind::ClockJump(at, _) if at == node);
    records.effects.iter().any(|effect| of_node(&effect.kind))
}

/// Returns the number of calls by outcome.
pub(super) fn outcomes(records: &Records) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for call in &records.calls {
        *counts.entry(call.outcome().map_or("not ended", name)).or_default() += 1;
    }
    counts
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Reply { .. } => "reply",
        Outcome::Cancelled => "cancelled",
        Outcome::Dropped => "dropped",
        Outcome::Error(error) => match error {
            RpcError::NoNode { .. } => "no node",
            RpcError::Unsupported { .. } => "unsupported",
            RpcError::NotPrimary { .. } => "not primary",
            RpcError::Refused { .. } => "refused",
            RpcError::Denied { .. } => "denied",
            RpcError::Timeout { sent: false, .. } => "timeout, not executed",
            RpcError::Timeout { .. } => "timeout",
            RpcError::Disconnected { sent: false, .. } => "disconnected, not executed",
            RpcError::Disconnected { .. } => "disconnected",
            RpcError::Panicked { .. } => "panicked",
            RpcError::ReplyTooLarge { .. } => "reply too large",
            RpcError::ArgumentsTooLarge { .. } => "arguments too large",
            RpcError::ShutDown { .. } => "shut down",
            _ => "another error",
        },
    }
}

/// No call outlives its deadline by more than one tick of its caller's time. A frozen caller may
/// end its call when it resumes.
///
/// The timeout of a call is measured on the caller's clock. Its timer follows that clock: the
/// remaining time is recomputed from the clock before each wait, so clock drift changes the timeout
/// by at most the drift's share. A stopped clock adds the time for which it was stopped.
fn ends_by_its_deadline(case: &Case<'_>) -> Result<(), String> {
    let call = case.call;
    let Some((ended, outcome)) = &call.ended else {
        return Err("a call has not ended".to_owned());
    };
    let drifts = call.allowed.mul_f64(case.drift(&call.from));
    let clock_stops = case.clock_stops(&call.from, call.started, *ended);
    let deadline = call.started + call.allowed + drifts + clock_stops;
    let deadline = if call.outside {
        deadline
    } else {
        case.records.resumed_after(&call.from, deadline + TICK)
    };
    if *ended > deadline + TICK {
        return Err(format!("a call outlives its deadline by {:?}", *ended - deadline));
    }
    // A call must not time out early either. A clock that jumps ahead shortens the timeout, and a
    // crash may end a local handler.
    let early = drifts + case.clock_jumps(&call.from, call.started, *ended) + TICK;
    let crashed = call.outside && case.caller_was_stopping();
    if matches!(outcome, Outcome::Error(RpcError::Timeout { .. }))
        && !crashed
        && *ended + early < call.started + call.allowed
    {
        return Err("a call times out before its timeout".to_owned());
    }
    Ok(())
}

fn executes_at_most_once(case: &Case<'_>) -> Result<(), String> {
    let times = case.records.runs_of(case.call.id).count();
    let per_round = if case.further().is_empty() { PER_TARGET } else { PER_CALL };
    let idempotent = case.call.spec.method.is_idempotent();
    let most = if idempotent { per_round * case.rounds() } else { 1 };
    if times > most {
        return Err(format!("a call executed {times} times"));
    }
    Ok(())
}

/// A handler runs only on a node of one of the call's targets.
fn runs_on_a_target(case: &Case<'_>) -> Result<(), String> {
    let mut runs = case.records.runs_of(case.call.id);
    match runs.find(|run| !case.is_target(&run.node)) {
        Some(run) => Err(format!("a call executed on {}, which is not a target of it", run.node)),
        None => Ok(()),
    }
}

/// A handler does not start after its caller's deadline, and ends by then unless it is detached.
///
/// The link's clock is never behind the caller's clock, so without drift the slack is zero. This
/// also holds if the serving node's clock was stopped for longer than a round trip and a heartbeat,
/// unless the buffered bytes end before a message that reveals it. The link's clock uses the
/// minimum of 8 pongs, one per heartbeat. The oldest pong is even older if the serving node was
/// frozen or partitioned in the meantime, but no older than the run. A jump of the caller's clock
/// that is no longer than the round trip is undetected until those pongs are replaced.
fn runs_by_its_deadline(case: &Case<'_>) -> Result<(), String> {
    let call = case.call;
    for run in case.records.runs_of(call.id) {
        let slack = clock_slack(case, run);
        let deadline = call.started + call.allowed + slack;
        if run.started > deadline {
            let late = run.started - deadline;
            return Err(format!("a handler on {} starts {late:?} too late", run.node));
        }
        let ends = if call.outside && run.local {
            deadline
        } else {
            case.records.resumed_after(&run.node, deadline + TICK)
        };
        // A drain may stop a detached handler.
        let Some(ended) = run.ended else {
            return Err(format!("a handler on {} has not ended", run.node));
        };
        if call.spec.method != Method::Detached && ended > ends + TICK {
            return Err(format!(
                "a handler on {} runs {:?} past the deadline",
                run.node,
                ended - ends
            ));
        }
    }
    Ok(())
}

fn clock_slack(case: &Case<'_>, run: &HandlerRun) -> Duration {
    let (from, node) = (&case.call.from, &run.node);
    let ended = run.ended.unwrap_or(run.started);
    let clock_stops = case.clock_stops(from, case.call.started, ended);
    if run.local {
        return clock_stops;
    }
    let drift = case.drift(from) + case.drift(node);
    let jumps = case.small_clock_jumps(from, node);
    let allowed_drift = case.call.allowed.mul_f64(drift);
    // If a partition delays the call until its caller has given up, faults after that delay what is behind it.
    let until_start = Case { until: run.started, ..*case };
    run.started.mul_f64(drift)
        + allowed_drift
        + jumps
        + clock_stops
        + until_start.unnoticed_clock_stops(node)
}

/// The handler of a dropped call stops when the cancellation arrives, unless a fault delays it. So do the
/// handlers of the other attempts of a call that has received a reply.
fn stops_after_cancellation(case: &Case<'_>) -> Result<(), String> {
    let call = case.call;
    let (at, replied) = match &call.ended {
        Some((at, Outcome::Cancelled | Outcome::Dropped)) => (*at, None),
        Some((at, Outcome::Reply { node, .. })) => (*at, Some(node)),
        _ => return Ok(()),
    };
    for run in case.records.runs_of(call.id).filter(|run| Some(&run.node) != replied) {
        let ended = run.ended.unwrap_or(Duration::MAX);
        let by = at + case.transit_time(&run.node) + TICK;
        if call.spec.method != Method::Detached
            && ended > by
            && !(Case { until: ended, ..*case }).is_delayed(&run.node)
        {
            return Err(format!(
                "a handler on {} continues after its caller dropped the call",
                run.node
            ));
        }
    }
    Ok(())
}

fn gets_its_own_reply(case: &Case<'_>) -> Result<(), String> {
    let Some(Outcome::Reply { node, right }) = case.call.outcome() else { return Ok(()) };
    if !right {
        return Err("a call received another call's reply".to_owned());
    }
    if !case.is_target(node) {
        return Err(format!("{node} replied to a call, but is not a target of it"));
    }
    let mut runs = case.records.runs_of(case.call.id);
    if !runs.any(|run| run.completed && run.node == *node) {
        return Err(format!("{node} replied to a call that it did not execute"));
    }
    Ok(())
}

/// An error that reports that the call executed, or did not execute, is correct.
fn error_is_true(case: &Case<'_>) -> Result<(), String> {
    let executed = case.records.runs_of(case.call.id).next().is_some();
    let never_sent = case.call.spec.cancel == Some(Cancel::Unpolled);
    let reported_not_executed = match case.call.outcome() {
        Some(Outcome::Error(error)) => !error.may_have_executed(),
        _ => never_sent,
    };
    if reported_not_executed && executed {
        return Err("a call executed although it was reported as not executed".to_owned());
    }
    let reported_executed = matches!(
        case.call.outcome(),
        Some(Outcome::Error(RpcError::Panicked { .. } | RpcError::ReplyTooLarge { .. }))
    );
    if reported_executed && !executed {
        return Err("a call did not execute although it was reported as executed".to_owned());
    }
    Ok(())
}
