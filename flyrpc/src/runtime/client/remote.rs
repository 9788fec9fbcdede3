//! Makes calls on other nodes, as [`Retry`] decides.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{attempt::attempt, call::Call, local, record::AttemptRecorder};
use crate::{
    error::Unsupported,
    proto::routing::{
        AttemptEnd, AttemptFailure, CallFailure, CallerTrait, Choice, Compats, Dialed,
        FIRST_ATTEMPT, NoCandidate, Pick, Retry, Step, pick,
    },
    runtime::{link::Link, shared::NodeShared},
    service::{Request, caller_trait},
    types::NodeInfo,
};

/// The result of picking a node from the table.
enum Picked {
    Send(Arc<Link>, Arc<Compats>),
    Dial(NodeInfo),
    Nobody(NoCandidate),
}

/// Makes the call on another node.
pub(super) async fn call<R: Request>(
    node: &NodeShared,
    call: &Call,
    request: &R,
    recorder: &mut AttemptRecorder<'_>,
) -> Result<R::Response, CallFailure> {
    let version = node.version();
    let picked = pick_node(node, call, &caller_trait::<R>(), request.method(), None);
    let first = if let Picked::Send(link, compats) = picked {
        let outcome = attempt(node, call, request, &link, compats, FIRST_ATTEMPT, recorder).await;
        recorder.end(outcome.as_ref().err().and_then(AttemptEnd::failure));
        match outcome {
            Ok(response) => return Ok(response),
            Err(end) => Some((link.peer().clone(), end)),
        }
    } else {
        None
    };
    // Boxed, because few calls get here, and the others should not have to contain this future.
    Box::pin(retry(node, call, request, version, first, recorder)).await
}

/// Makes further attempts after the `first`, if there was one. `version` is the version of the
/// table that the first pick used.
async fn retry<R: Request>(
    node: &NodeShared,
    call: &Call,
    request: &R,
    mut version: u64,
    first: Option<(NodeInfo, AttemptEnd)>,
    recorder: &mut AttemptRecorder<'_>,
) -> Result<R::Response, CallFailure> {
    let mut retry = Retry::new(call.retry_policy());
    let mut step = match first {
        Some((first, end)) => {
            let number = retry.start(&first);
            retry.on_ended(number, end, now(node))
        }
        None => Step::Pick,
    };
    loop {
        step = match step {
            Step::Pick if node.is_shut_down() => retry.on_shut_down(),
            Step::Pick => {
                version = node.version();
                match pick_and_try(node, call, request, &mut retry, recorder).await {
                    ControlFlow::Break(response) => return Ok(response),
                    ControlFlow::Continue(step) => step,
                }
            }
            Step::WaitForChange { at_most } => {
                wait_for_change(node, version, at_most).await;
                retry.on_waited()
            }
            Step::AwaitAttempts => unreachable!("only one attempt is in flight, and was awaited"),
            Step::Fail(failure) => return Err(failure),
        }
    }
}

/// Picks a node, and makes an attempt on it or dials it.
async fn pick_and_try<R: Request>(
    node: &NodeShared,
    call: &Call,
    request: &R,
    retry: &mut Retry,
    recorder: &mut AttemptRecorder<'_>,
) -> ControlFlow<R::Response, Step> {
    let picked = pick_node(node, call, &caller_trait::<R>(), request.method(), Some(retry));
    ControlFlow::Continue(match picked {
        Picked::Send(link, compats) => {
            let number = retry.start(link.peer());
            let outcome = attempt(node, call, request, &link, compats, number, recorder).await;
            recorder.end(outcome.as_ref().err().and_then(AttemptEnd::failure));
            match outcome {
                Ok(response) => return ControlFlow::Break(response),
                Err(end) => retry.on_ended(number, end, now(node)),
            }
        }
        Picked::Dial(to) => {
            let dialed = dial(node, call, &to).await;
            retry.on_dialed(to, dialed)
        }
        Picked::Nobody(none) => retry.on_no_candidate(none, now(node)),
    })
}

async fn dial(node: &NodeShared, call: &Call, to: &NodeInfo) -> Dialed {
    let dialed = timeout(call.remaining(node.env().now()), node.dial(to.addr())).await;
    match dialed {
        Ok(true) => Dialed::Linked,
        Ok(false) => Dialed::Failed,
        Err(_elapsed) => Dialed::TimedOut,
    }
}

/// Waits until the table is newer than `version`, for at most `at_most`. The caller picks again in
/// either case, so there is no result.
async fn wait_for_change(node: &NodeShared, version: u64, at_most: Duration) {
    tokio::select! {
        biased;
        () = node.stop().cancelled() => {}
        _ = timeout(at_most, node.changed_since(version)) => {}
    }
}

/// Picks a node for the next attempt. `retry` is `None` for the first attempt.
fn pick_node(
    node: &NodeShared,
    call: &Call,
    caller: &CallerTrait,
    method: usize,
    retry: Option<&Retry>,
) -> Picked {
    let table = node.table();
    let with = Pick {
        target: &call.target,
        caller,
        method,
        tried: retry.map_or(&[], Retry::tried),
        primary_moved: retry.is_some_and(Retry::primary_moved),
        random: node.env().random(),
    };
    let failure = match pick(&table, &with) {
        Choice::Send { link, compats } => return Picked::Send(Arc::clone(link), compats),
        Choice::Dial(to) => return Picked::Dial(to.clone()),
        Choice::Unsupported(at, why) => unsupported(at, why),
        Choice::Nobody(mut known) if call.includes(node.me()) => {
            let others = known.not_accepting + known.unlinked;
            known.unsupported += 1;
            match local::why_not_here(node, call) {
                Some(why) if others == 0 => unsupported(node.me(), why),
                _ => CallFailure::NoNode(known),
            }
        }
        Choice::Nobody(known) => CallFailure::NoNode(known),
    };
    Picked::Nobody(NoCandidate { failure, discovery_ready: table.ready })
}

fn now(node: &NodeShared) -> Instant {
    node.env().now().into_std()
}

fn unsupported(node: &NodeInfo, why: Unsupported) -> CallFailure {
    CallFailure::At { node: node.clone(), failure: AttemptFailure::Unsupported(why) }
}
