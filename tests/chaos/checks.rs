//! The invariants: what flyrpc promises of every call, whatever goes wrong. Whether an error is one
//! that the faults explain is decided in [`explain`](super::explain).

use std::{collections::BTreeMap, time::Duration};

use flyrpc::RpcError;

use super::{
    explain::{Case, explained},
    ledger::{Book, Execution, Outcome},
    plan::{Cancel, Method, Plan},
};

/// tokio's timers fire on whole milliseconds, so up to this much late.
const TICK: Duration = Duration::from_millis(1);

/// How often one call may be sent at most.
const ATTEMPTS: usize = 3;

/// All that is wrong with a run, in words.
pub(super) fn check(plan: &Plan, book: &Book) -> Vec<String> {
    let mut found = book.violations.clone();
    for call in &book.calls {
        let case = Case { plan, book, call, until: call.end() };
        let checks = [
            ends_in_time(&case),
            runs_at_most_once(&case),
            runs_in_time(&case),
            stops_with_its_caller(&case),
            gets_its_own_reply(&case),
            errs_truly(&case),
            explained(&case),
        ];
        found
            .extend(checks.into_iter().filter_map(Result::err).map(|why| format!("{why}: {case}")));
    }
    found
}

/// How often calls had which outcome.
pub(super) fn outcomes(book: &Book) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for call in &book.calls {
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

/// No call outlives its deadline by more than a tick of its caller's time: a caller that is frozen
/// may end it when it goes on. A call's time is counted on the caller's clock, its timer is right:
/// what is left is read off the clock before each wait, so that a clock that is wrong by so many
/// parts of a second makes the call's time wrong by as many parts at most. A clock that stands still
/// adds the time that it misses.
fn ends_in_time(case: &Case<'_>) -> Result<(), String> {
    let call = case.call;
    let Some((ended, outcome)) = &call.ended else {
        return Err("a call has not ended".to_owned());
    };
    let drifts = call.allowed.mul_f64(case.drift(&call.from));
    let stills = case.stills(&call.from, call.began, *ended);
    let deadline = call.began + call.allowed + drifts + stills;
    let deadline =
        if call.outside { deadline } else { case.book.thawed(&call.from, deadline + TICK) };
    if *ended > deadline + TICK {
        return Err(format!("a call outlives its deadline by {:?}", *ended - deadline));
    }
    // Nor does it time out before. A clock that jumps ahead takes the time with it, and a crash what
    // a handler here was running.
    let early = drifts + case.skews(&call.from, call.began, *ended) + TICK;
    let crashed = call.outside && case.caller_stops();
    if matches!(outcome, Outcome::Error(RpcError::Timeout { .. }))
        && !crashed
        && *ended + early < call.began + call.allowed
    {
        return Err("a call times out before its time".to_owned());
    }
    Ok(())
}

fn runs_at_most_once(case: &Case<'_>) -> Result<(), String> {
    let times = case.book.executions_of(case.call.id).count();
    let most = if case.call.spec.method == Method::Repeatable { ATTEMPTS } else { 1 };
    if times > most {
        return Err(format!("a call is executed {times} times"));
    }
    Ok(())
}

/// A handler does not begin after its caller's deadline, and unless it is detached, ends by then.
///
/// The link's clock (`flyrpc/src/link/clock.rs`) is never behind the caller's, so without drift the
/// bound is zero, also if the server's clock stood still for longer than a round trip and a heartbeat,
/// unless what was buffered meanwhile ends before any word of that. It takes the least of 8 pongs, one
/// each heartbeat; the oldest is older still if the server was frozen or cut off meanwhile, but no
/// older than the run. A jump of the caller's clock that is no longer than the round trip goes
/// unnoticed until those pongs are gone.
fn runs_in_time(case: &Case<'_>) -> Result<(), String> {
    let call = case.call;
    for execution in case.book.executions_of(call.id) {
        let slack = clock_slack(case, execution);
        let deadline = call.began + call.allowed + slack;
        if execution.began > deadline {
            let late = execution.began - deadline;
            return Err(format!("a handler begins on {} {late:?} too late", execution.node));
        }
        let ends = if call.outside && execution.local {
            deadline
        } else {
            case.book.thawed(&execution.node, deadline + TICK)
        };
        // A detached one that was cut off is the drain's affair.
        let Some(ended) = execution.ended else {
            return Err(format!("a handler on {} has not ended", execution.node));
        };
        if call.spec.method != Method::Detached && ended > ends + TICK {
            return Err(format!(
                "a handler on {} runs {:?} too long",
                execution.node,
                ended - ends
            ));
        }
    }
    Ok(())
}

fn clock_slack(case: &Case<'_>, execution: &Execution) -> Duration {
    let (from, node) = (&case.call.from, &execution.node);
    let ended = execution.ended.unwrap_or(execution.began);
    let stills = case.stills(from, case.call.began, ended);
    if execution.local {
        return stills;
    }
    let drift = case.drift(from) + case.drift(node);
    let jumps = case.small_skews(from, node);
    let own = case.call.allowed.mul_f64(drift);
    execution.began.mul_f64(drift) + own + jumps + stills + case.unnoticed_stills(node)
}

/// The handler of a call that was dropped stops as soon as the cancellation arrives, which nothing
/// must have delayed.
fn stops_with_its_caller(case: &Case<'_>) -> Result<(), String> {
    let call = case.call;
    let Some((at, Outcome::Cancelled | Outcome::Dropped)) = call.ended else { return Ok(()) };
    for execution in case.book.executions_of(call.id) {
        let ended = execution.ended.unwrap_or(Duration::MAX);
        let by = at + case.way(&execution.node) + TICK;
        if call.spec.method != Method::Detached
            && ended > by
            && !(Case { until: ended, ..*case }).is_delayed(&execution.node)
        {
            return Err(format!("a handler on {} goes on without its caller", execution.node));
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
    let mut executions = case.book.executions_of(case.call.id);
    if !executions.any(|execution| execution.completed && execution.node == *node) {
        return Err(format!("{node} answers a call that it has not executed"));
    }
    Ok(())
}

/// What did not execute, did not, and what did, did.
fn errs_truly(case: &Case<'_>) -> Result<(), String> {
    let executed = case.book.executions_of(case.call.id).next().is_some();
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
