//! The invariants: what flyrpc guarantees for every call, whatever the faults. Whether the faults
//! explain an error is decided in [`explain`](super::explain).

use std::{collections::BTreeMap, time::Duration};

use flyrpc::RpcError;

use super::{
    explain::{Case, explained},
    ledger::{HandlerRun, Outcome, Records},
    plan::{Cancel, Method, Plan},
};

/// tokio's timers fire on whole milliseconds, so they are late by up to this much.
const TICK: Duration = Duration::from_millis(1);

/// Upper bound on the attempts of a call.
const ATTEMPTS: usize = 3;

/// The violated guarantees of a run, in words.
pub(super) fn check(plan: &Plan, records: &Records) -> Vec<String> {
    let mut found = records.violations.clone();
    for call in &records.calls {
        let case = Case { plan, records, call, until: call.end() };
        let checks = [
            ends_by_its_deadline(&case),
            executes_at_most_once(&case),
            runs_by_its_deadline(&case),
            stops_after_cancellation(&case),
            gets_its_own_reply(&case),
            error_is_true(&case),
            explained(&case),
        ];
        found
            .extend(checks.into_iter().filter_map(Result::err).map(|why| format!("{why}: {case}")));
    }
    found
}

/// The number of calls by outcome.
pub(super) fn outcomes(records: &Records) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for call in &records.calls {
        *counts.entry(call.outcome().map_or("endless", name)).or_default() += 1;
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

/// No call outlives its deadline by more than a tick of its caller's time; a frozen caller may end it
/// when it resumes. The timeout of a call is measured on the caller's clock, and its timer is correct:
/// the remaining time is read off the clock before each wait, so that a drift changes the timeout by
/// its share at most. A clock that was stopped adds the time that it missed.
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
    // Nor does it time out early. A clock that jumps ahead shortens the timeout, and a crash may end a
    // local handler.
    let early = drifts + case.clock_jumps(&call.from, call.started, *ended) + TICK;
    let crashed = call.outside && case.caller_was_stopping();
    if matches!(outcome, Outcome::Error(RpcError::Timeout { .. }))
        && !crashed
        && *ended + early < call.started + call.allowed
    {
        return Err("a call times out before its time".to_owned());
    }
    Ok(())
}

fn executes_at_most_once(case: &Case<'_>) -> Result<(), String> {
    let times = case.records.runs_of(case.call.id).count();
    let most = if case.call.spec.method == Method::Repeatable { ATTEMPTS } else { 1 };
    if times > most {
        return Err(format!("a call is executed {times} times"));
    }
    Ok(())
}

/// A handler does not start after its caller's deadline, and ends by then unless it is detached.
///
/// The link's clock is never behind the caller's, so without drift the bound is zero, also if the
/// server's clock was stopped for longer than a round trip and a heartbeat, unless the buffered bytes end
/// before a message that shows it. The clock takes the minimum of 8 pongs, one per heartbeat; the
/// oldest is older still if the server was frozen or partitioned meanwhile, but no older than the run.
/// A jump of the caller's clock that is no longer than the round trip is undetected until those pongs
/// are gone.
fn runs_by_its_deadline(case: &Case<'_>) -> Result<(), String> {
    let call = case.call;
    for run in case.records.runs_of(call.id) {
        let slack = clock_slack(case, run);
        let deadline = call.started + call.allowed + slack;
        if run.started > deadline {
            let late = run.started - deadline;
            return Err(format!("a handler begins on {} {late:?} too late", run.node));
        }
        let ends = if call.outside && run.local {
            deadline
        } else {
            case.records.resumed_after(&run.node, deadline + TICK)
        };
        // A detached handler may be stopped by a drain.
        let Some(ended) = run.ended else {
            return Err(format!("a handler on {} has not ended", run.node));
        };
        if call.spec.method != Method::Detached && ended > ends + TICK {
            return Err(format!("a handler on {} runs {:?} too long", run.node, ended - ends));
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
    run.started.mul_f64(drift)
        + allowed_drift
        + jumps
        + clock_stops
        + case.unnoticed_clock_stops(node)
}

/// The handler of a dropped call stops as soon as the cancellation arrives, unless a fault delays that.
fn stops_after_cancellation(case: &Case<'_>) -> Result<(), String> {
    let call = case.call;
    let Some((at, Outcome::Cancelled | Outcome::Dropped)) = call.ended else { return Ok(()) };
    for run in case.records.runs_of(call.id) {
        let ended = run.ended.unwrap_or(Duration::MAX);
        let by = at + case.transit_time(&run.node) + TICK;
        if call.spec.method != Method::Detached
            && ended > by
            && !(Case { until: ended, ..*case }).is_delayed(&run.node)
        {
            return Err(format!("a handler on {} keeps running without its caller", run.node));
        }
    }
    Ok(())
}

fn gets_its_own_reply(case: &Case<'_>) -> Result<(), String> {
    let Some(Outcome::Reply { node, right }) = case.call.outcome() else { return Ok(()) };
    if !right {
        return Err("a call gets another call's reply".to_owned());
    }
    if !case.is_target(node) {
        return Err(format!("a call is answered by {node}"));
    }
    let mut runs = case.records.runs_of(case.call.id);
    if !runs.any(|run| run.completed && run.node == *node) {
        return Err(format!("{node} answers a call that it has not executed"));
    }
    Ok(())
}

/// An error that reports that the call did not execute, or did, is true.
fn error_is_true(case: &Case<'_>) -> Result<(), String> {
    let executed = case.records.runs_of(case.call.id).next().is_some();
    let never_sent = case.call.spec.cancel == Some(Cancel::Unpolled);
    let not = match case.call.outcome() {
        Some(Outcome::Error(error)) => !error.may_have_executed(),
        _ => never_sent,
    };
    if not && executed {
        return Err("a call that was said not to execute did".to_owned());
    }
    let did = matches!(
        case.call.outcome(),
        Some(Outcome::Error(RpcError::Panicked { .. } | RpcError::ReplyTooLarge { .. }))
    );
    if did && !executed {
        return Err("a call that was said to have executed did not".to_owned());
    }
    Ok(())
}
