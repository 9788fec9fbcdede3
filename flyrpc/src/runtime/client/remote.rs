//! Makes calls on other nodes, as [`Retry`] decides.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{
    attempt::{AttemptStart, attempt},
    call::Call,
    local,
    pending::{Pending, Progress},
    record::AttemptRecorder,
};
use crate::{
    error::Unsupported,
    proto::routing::{
        AttemptEnd, AttemptFailure, CallFailure, CallerTrait, Choice, Compats, Dialed,
        FIRST_ATTEMPT, NoCandidate, Pick, Retry, Step, Waited, pick,
    },
    runtime::{
        link::Link,
        shared::{NodeShared, QueueKey, Turn},
    },
    service::{Request, caller_trait},
    types::NodeInfo,
};

/// The result of picking a node from the table.
enum Picked {
    Send(Arc<Link>, Arc<Compats>),
    Dial(NodeInfo),
    Nobody(NoCandidate),
}

/// The state after the first attempt, if there was a node for one.
enum First<'a, F> {
    NoLink,
    Ended(Arc<Link>, AttemptEnd),
    /// It is in flight, and its node has gone quiet.
    Quiet(Arc<Link>, Pin<&'a mut F>),
}

/// A call to other nodes.
struct RemoteCall<'a, 'r, R> {
    node: &'a NodeShared,
    call: &'a Call,
    request: &'a R,
    recorder: &'a AttemptRecorder<'r>,
}

impl<R> Clone for RemoteCall<'_, '_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for RemoteCall<'_, '_, R> {}

/// Makes the call on another node.
pub(super) async fn call<R: Request>(
    node: &NodeShared,
    call: &Call,
    request: &R,
    recorder: &AttemptRecorder<'_>,
) -> Result<R::Response, CallFailure> {
    let of = RemoteCall { node, call, request, recorder };
    let version = node.version();
    let (link, compats) = match pick_node(of, None) {
        Picked::Send(link, compats) => (Some(link), Some(compats)),
        Picked::Dial(_) | Picked::Nobody(_) => (None, None),
    };
    let start = AttemptStart { number: FIRST_ATTEMPT, now: call.started };
    let mut first =
        pin!(link.as_ref().zip(compats).map(|(link, compats)| {
            attempt(node, call, request, link, compats, start, recorder)
        }));
    let first = match (first.as_mut().as_pin_mut(), &link) {
        (Some(mut first), Some(link)) => {
            match until_quiet(first.as_mut(), link, call.idempotent).await {
                Some(Ok(response)) => return Ok(response),
                Some(Err(end)) => First::Ended(Arc::clone(link), end),
                None => First::Quiet(Arc::clone(link), first),
            }
        }
        _ => First::NoLink,
    };
    // Boxed, because few calls get here, and the others should not have to contain this future.
    Box::pin(retry(of, version, first)).await
}

/// Returns the outcome of an attempt over `link`. Returns `None` if the node goes quiet and the call may
/// be repeated.
async fn until_quiet<F: Future>(
    mut attempt: Pin<&mut F>,
    link: &Link,
    idempotent: bool,
) -> Option<F::Output> {
    poll_fn(|task| match attempt.as_mut().poll(task) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        // The link wakes all calls when its peer goes quiet.
        Poll::Pending if idempotent && link.is_quiet() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Makes further attempts after the `first` one or in parallel with it, if there was one. `version` is
/// the version of the table that the first pick used.
async fn retry<R, F>(
    of: RemoteCall<'_, '_, R>,
    mut version: u64,
    first: First<'_, F>,
) -> Result<R::Response, CallFailure>
where
    R: Request,
    F: Future<Output = Result<R::Response, AttemptEnd>>,
{
    let RemoteCall { node, call, .. } = of;
    let mut retry = Retry::new(call.retry_policy());
    let (mut pending, mut turn) = (Pending::new(), None);
    let mut step = begin(first, &mut retry, &mut pending, now(node));
    let outcome = loop {
        step = match step {
            Step::Pick => {
                // Also after a shutdown: with an old version, a call that awaits an attempt on a quiet
                // node would see a change without end.
                version = node.version();
                if node.is_shut_down() {
                    retry.on_shut_down()
                } else {
                    start_next(of, &mut retry, &mut pending, later_attempt)
                }
            }
            Step::AwaitAttempts => match progress(of, &retry, &mut pending, version).await {
                Some(Progress::Ended(_, Ok(response))) => break Ok(response),
                Some(Progress::Ended(number, Err(end))) => retry.on_ended(number, end, now(node)),
                Some(Progress::Quiet(number)) => retry.on_quiet(number),
                Some(Progress::Dialed(to, dialed)) => retry.on_dialed(to, dialed),
                None => retry.on_changed(),
            },
            Step::WaitForChange { at_most, for_turn } => {
                let turn = if for_turn { Some(&mut turn) } else { None };
                retry.on_waited(wait(of, version, at_most, turn).await)
            }
            Step::Fail(failure) => break Err(failure),
        }
    };
    // Cancels the attempts in flight before they are reported as canceled.
    drop(pending);
    of.recorder.cancel_open();
    outcome
}

/// Records the first attempt, if there was one, and returns the next step.
fn begin<'a, T, F, G>(
    first: First<'a, F>,
    retry: &mut Retry,
    pending: &mut Pending<'a, F, G>,
    now: Instant,
) -> Step
where
    F: Future<Output = Result<T, AttemptEnd>>,
    G: Future<Output = Result<T, AttemptEnd>>,
{
    match first {
        First::NoLink => Step::Pick,
        First::Ended(link, end) => {
            let number = retry.start(link.peer());
            retry.on_ended(number, end, now)
        }
        First::Quiet(link, attempt) => {
            let number = retry.start(link.peer());
            pending.add_first(number, link, attempt);
            retry.on_quiet(number)
        }
    }
}

/// Picks a node, and starts an attempt on it or dials it.
fn start_next<'a, 'r, R, F, G>(
    of: RemoteCall<'a, 'r, R>,
    retry: &mut Retry,
    pending: &mut Pending<'a, F, G>,
    attempt: impl FnOnce(RemoteCall<'a, 'r, R>, Arc<Link>, Arc<Compats>, u32) -> G,
) -> Step
where
    R: Request,
    F: Future<Output = Result<R::Response, AttemptEnd>>,
    G: Future<Output = Result<R::Response, AttemptEnd>>,
{
    let RemoteCall { node, call, .. } = of;
    match pick_node(of, Some(retry)) {
        Picked::Send(link, _) if retry.is_next_charged() && !link.try_spend_retry() => {
            retry.on_no_budget(now(node))
        }
        Picked::Send(link, compats) => {
            let number = retry.start(link.peer());
            pending.add(number, Arc::clone(&link), attempt(of, link, compats, number));
            Step::AwaitAttempts
        }
        _ if pending.is_dialing() => Step::AwaitAttempts,
        Picked::Dial(to) => {
            pending.set_dial(Box::pin(dial(node, call, to)));
            Step::AwaitAttempts
        }
        Picked::Nobody(none) => retry.on_no_candidate(none, now(node)),
    }
}

/// Waits for progress of the attempts and the dial in flight. Returns `None` if the table has become
/// newer than `version` and may offer a node for an attempt in parallel with one on a quiet node.
async fn progress<R, F, G>(
    of: RemoteCall<'_, '_, R>,
    retry: &Retry,
    pending: &mut Pending<'_, F, G>,
    version: u64,
) -> Option<Progress<R::Response>>
where
    R: Request,
    F: Future<Output = Result<R::Response, AttemptEnd>>,
    G: Future<Output = Result<R::Response, AttemptEnd>>,
{
    let wants_another = retry.wants_another() && pending.waits_on_a_quiet_node();
    tokio::select! {
        biased;
        progress = pending.next() => Some(progress),
        () = of.node.changed_since(version), if wants_another => None,
    }
}

/// Makes an attempt other than the first.
async fn later_attempt<R: Request>(
    of: RemoteCall<'_, '_, R>,
    link: Arc<Link>,
    compats: Arc<Compats>,
    number: u32,
) -> Result<R::Response, AttemptEnd> {
    let RemoteCall { node, call, request, recorder } = of;
    let start = AttemptStart { number, now: node.env().now() };
    attempt(node, call, request, &link, compats, start, recorder).await
}

async fn dial(node: &NodeShared, call: &Call, to: NodeInfo) -> (NodeInfo, Dialed) {
    let dialed = timeout(call.remaining(node.env().now()), node.dial(to.addr())).await;
    let dialed = match dialed {
        Ok(true) => Dialed::Linked,
        Ok(false) => Dialed::Failed,
        Err(_elapsed) => Dialed::TimedOut,
    };
    (to, dialed)
}

/// Waits until the table is newer than `version`, for at most `at_most`. If `turn` holds a place in a
/// queue, the wait also ends when it is the call's turn.
async fn wait<R>(
    of: RemoteCall<'_, '_, R>,
    version: u64,
    at_most: Duration,
    turn: Option<&mut Option<Turn>>,
) -> Waited {
    let RemoteCall { node, call, .. } = of;
    let waits_for_turn = turn.is_some();
    let my_turn = async {
        if let Some(turn) = turn {
            turn.get_or_insert_with(|| node.turns().join(queue_key(call))).wait().await;
        }
    };
    tokio::select! {
        biased;
        () = node.stop().cancelled() => Waited::Changed,
        () = my_turn, if waits_for_turn => Waited::Turn,
        _ = timeout(at_most, node.changed_since(version)) => Waited::Changed,
    }
}

fn queue_key(call: &Call) -> QueueKey {
    QueueKey { target: call.target.clone(), service: call.service, method: call.method }
}

/// Picks a node for the next attempt. `retry` is `None` for the first attempt.
fn pick_node<R: Request>(of: RemoteCall<'_, '_, R>, retry: Option<&Retry>) -> Picked {
    let RemoteCall { node, call, request, .. } = of;
    let table = node.table();
    let caller: CallerTrait = caller_trait::<R>();
    let with = Pick {
        target: &call.target,
        caller: &caller,
        method: request.method(),
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
