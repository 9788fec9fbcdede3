//! Makes calls on other nodes, as [`Retry`] decides.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::{Instant as TokioInstant, timeout};

use super::{
    attempt::{self, Attempt, AttemptStart, Place, until_deadline},
    call::{Call, CallStart},
    local::{self, EncodedMethod},
    pending::{Pending, Progress},
    record::ReportedAttempt,
    remote_call::RemoteCall,
};
use crate::{
    error::Unsupported,
    proto::routing::{
        AttemptEnd, AttemptFailure, CallFailure, Choice, Compats, Dialed, FIRST_ATTEMPT,
        NoCandidate, Pick, Retry, Step, Table, Waited, pick, pick_first,
    },
    runtime::{
        link::Link,
        shared::{NodeShared, QueueKey, Turn},
    },
    service::{Request, caller_trait},
    types::{NodeInfo, TargetRef},
};

/// The result of picking a node from the table.
enum Picked<'a> {
    Send(Arc<Link>),
    /// Run the call on this node.
    Here(EncodedMethod<'a>),
    Dial(NodeInfo),
    Nobody(NoCandidate),
}

/// The first attempt of a call, if there was a node for one.
pub(super) struct Begun {
    /// The version of the table from which the node was picked.
    pub(super) version: u64,
    pub(super) first: FirstAttempt,
    /// Set if the attempt was reported as started.
    pub(super) reported: Option<ReportedAttempt>,
}

pub(super) enum FirstAttempt {
    NoLink,
    Ended(Arc<Link>, Box<AttemptEnd>),
    InFlight(Attempt),
}

/// The state after the first attempt, if there was a node for one.
enum First<'a, F> {
    NoLink,
    Ended(Arc<Link>, AttemptEnd),
    /// It is in flight, and another attempt may start in parallel.
    Late(Arc<Link>, Late, Pin<&'a mut F>),
}

/// Why another attempt may start in parallel with one in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Late {
    /// The node has gone quiet.
    Quiet,
    /// The hedging delay of the call is over.
    HedgeDue,
}

/// Picks a node of `target`, and begins the first attempt of a call that started just now. If the call has
/// other targets, a node that is quiet is not picked. `expires` is when the attempt expires by the timer of
/// its link, if it has no timer of its own. `fields` are the encoded optional fields of the request.
#[inline]
pub(super) fn begin<R: Request>(
    node: &NodeShared,
    (target, is_only): (TargetRef<'_>, bool),
    CallStart { now, timeout, .. }: CallStart,
    request: &R,
    fields: &[u8],
    expires: Option<TokioInstant>,
    task: &Context<'_>,
) -> Begun {
    let version = node.version();
    let table = node.table();
    let (caller, method) = (caller_trait::<R>(), request.method());
    let with = Pick {
        target,
        caller: &caller,
        method,
        tried: &[],
        accepts_unresponsive: is_only,
        primary_moved: false,
        random: 0,
        now: 0,
    };
    let complete = |pick: &mut Pick<'_>| {
        pick.random = node.env().random();
        pick.now = node.micros_at(now);
    };
    let drawn = pick_first(&table, &with, complete);
    let picked = drawn.or_else(|| {
        let mut with = with;
        complete(&mut with);
        pick_link(&table, &with)
    });
    let first = match picked {
        Some((link, compats)) => {
            let primary = R::methods()[method].options.primary || target.is_primary();
            let number = FIRST_ATTEMPT;
            let start = AttemptStart { number, primary, fields, now, remaining: timeout, expires };
            match attempt::begin(node, request, link, compats, start, task) {
                Ok(attempt) => FirstAttempt::InFlight(attempt),
                Err(end) => FirstAttempt::Ended(Arc::clone(link), end),
            }
        }
        None => FirstAttempt::NoLink,
    };
    Begun { version, first, reported: None }
}

/// Makes the call on another node.
pub(super) async fn call<R: Request>(
    of: RemoteCall<'_, '_, R>,
) -> Result<R::Response, CallFailure> {
    let RemoteCall { node, call, request, .. } = of;
    let target = (call.target.borrowed(), !call.has_further_targets());
    let fields = call.fields();
    let begun =
        poll_fn(|task| Poll::Ready(begin(node, target, call.start, request, fields, None, task)));
    resume(of, begun.await).await
}

/// Makes the call on this node, which belongs to its first target, or on another node if this one does not take it.
pub(super) async fn call_from_here<R: Request>(
    of: RemoteCall<'_, '_, R>,
) -> Result<R::Response, CallFailure> {
    let first = First::<Never<R>>::NoLink;
    Box::pin(retry(of, of.node.version(), first)).await
}

/// The future of an attempt that was not made.
type Never<R> = std::future::Pending<Result<<R as Request>::Response, AttemptEnd>>;

/// Continues a call after its first attempt has begun.
pub(super) async fn resume<R: Request>(
    of: RemoteCall<'_, '_, R>,
    Begun { version, first, .. }: Begun,
) -> Result<R::Response, CallFailure> {
    let (link, attempt, end) = match first {
        FirstAttempt::NoLink => (None, None, None),
        FirstAttempt::Ended(link, end) => (Some(link), None, Some(*end)),
        FirstAttempt::InFlight(attempt) => (Some(Arc::clone(attempt.link())), Some(attempt), None),
    };
    let mut running = pin!(attempt.map(|attempt| attempt.finish(of)));
    let first = match (&link, end, running.as_mut().as_pin_mut()) {
        (Some(link), Some(end), _) => {
            if let AttemptEnd::Failed(AttemptFailure::Timeout { .. }) = end {
                until_deadline(of.node, of.call).await;
            }
            of.recorder.end_first(&end);
            First::Ended(Arc::clone(link), end)
        }
        (Some(link), None, Some(mut running)) => {
            match until_late(running.as_mut(), link, of).await {
                Ok(Ok(response)) => {
                    let latency = of.node.env().now() - of.call.start.now;
                    of.call.observe_latency(link, Some(latency));
                    return Ok(response);
                }
                Ok(Err(end)) => First::Ended(Arc::clone(link), end),
                Err(late) => {
                    if late == Late::HedgeDue {
                        of.call.observe_latency(link, None);
                    }
                    First::Late(Arc::clone(link), late, running)
                }
            }
        }
        _ => First::NoLink,
    };
    // Boxed, because few calls get here, and the others should not have to contain this future.
    Box::pin(retry(of, version, first)).await
}

/// Returns the outcome of an attempt over `link`, or why another attempt may start before it has one.
async fn until_late<R, F: Future>(
    mut attempt: Pin<&mut F>,
    link: &Link,
    RemoteCall { node, call, .. }: RemoteCall<'_, '_, R>,
) -> Result<F::Output, Late> {
    let until_quiet = poll_fn(|task| match attempt.as_mut().poll(task) {
        Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
        // The link wakes all calls when its peer goes quiet.
        Poll::Pending if call.idempotent && link.is_quiet() => Poll::Ready(Err(Late::Quiet)),
        Poll::Pending => Poll::Pending,
    });
    let Some(delay) = call.hedge_delay(link) else { return until_quiet.await };
    let elapsed = node.env().now().saturating_duration_since(call.start.now);
    timeout(delay.saturating_sub(elapsed), until_quiet).await.unwrap_or(Err(Late::HedgeDue))
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
    let mut step = first_step(first, &mut retry, &mut pending, now(node));
    let outcome = loop {
        step = match step {
            Step::Pick => {
                // Also after a shutdown: with an old version, a call that awaits an attempt on a quiet
                // node would see a change without end.
                version = node.version();
                if node.is_shut_down() {
                    retry.on_shut_down()
                } else {
                    start_next(of, &mut retry, &mut pending, attempt::attempt)
                }
            }
            Step::AwaitAttempts => match progress(of, &retry, &mut pending, version).await {
                Some(Progress::Ended(_, Ok(response))) => break Ok(response),
                Some(Progress::Ended(number, Err(end))) => retry.on_ended(number, end, now(node)),
                Some(Progress::Quiet(number)) => retry.on_quiet(number),
                Some(Progress::HedgeDue(number)) => retry.on_hedge_due(number),
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
fn first_step<'a, T, F, G>(
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
        First::Late(link, late, attempt) => {
            let number = retry.start(link.peer());
            pending.add_first(number, link, late == Late::Quiet, attempt);
            match late {
                Late::Quiet => retry.on_quiet(number),
                Late::HedgeDue => {
                    pending.on_hedged();
                    retry.on_hedge_due(number)
                }
            }
        }
    }
}

/// Picks a node, and starts an attempt on it or dials it.
fn start_next<'a, 'r, R, F, G>(
    of: RemoteCall<'a, 'r, R>,
    retry: &mut Retry,
    pending: &mut Pending<'a, F, G>,
    attempt: impl FnOnce(RemoteCall<'a, 'r, R>, Place<'a>, u32) -> G,
) -> Step
where
    R: Request,
    F: Future<Output = Result<R::Response, AttemptEnd>>,
    G: Future<Output = Result<R::Response, AttemptEnd>>,
{
    let RemoteCall { node, call, .. } = of;
    let of = RemoteCall { target: retry.target(), ..of };
    match pick_node(of, retry) {
        Picked::Send(link) if retry.is_next_charged() && !link.try_spend_retry() => {
            retry.on_no_budget(now(node))
        }
        Picked::Send(link) => {
            let is_call = retry.is_next_a_call();
            let number = retry.start(link.peer());
            // The link counts first attempts itself.
            if is_call && number != FIRST_ATTEMPT {
                link.count_call();
            }
            if let Some(delay) = call.hedge_delay(&link) {
                pending.hedge_after(number, delay);
            }
            pending.forget_dial();
            let attempt = attempt(of, Place::Link(Arc::clone(&link)), number);
            pending.add(number, Some(link), attempt);
            Step::AwaitAttempts
        }
        Picked::Here(method) => {
            let number = retry.start_here(node.me());
            pending.forget_dial();
            pending.add(number, None, attempt(of, Place::Here(method), number));
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
/// newer than `version` and may offer a node for an attempt in parallel with one on a quiet node, or a linked node
/// instead of the one that is being dialed.
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
    let wants_another =
        !retry.has_attempts() || (retry.wants_another() && pending.waits_on_a_quiet_node());
    tokio::select! {
        biased;
        progress = pending.next() => Some(progress),
        () = of.node.changed_since(version), if wants_another => None,
    }
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
    QueueKey { targets: call.targets(), service: call.service, method: call.method }
}

/// Picks a node for the first attempt, if there is an open link.
#[cold]
fn pick_link<'a>(
    table: &'a Table<Arc<Link>>,
    with: &Pick<'_>,
) -> Option<(&'a Arc<Link>, &'a Compats)> {
    match pick(table, with) {
        Choice::Send { link, compats } => Some((link, compats)),
        Choice::Dial(_) | Choice::Unsupported(..) | Choice::Nobody(_) => None,
    }
}

/// Picks a node for the next attempt.
fn pick_node<'a, R: Request>(of: RemoteCall<'a, '_, R>, retry: &Retry) -> Picked<'a> {
    let RemoteCall { node, call, request, target, .. } = of;
    let target = call.target_at(target);
    let includes_this_node = target.borrowed().includes(node.me());
    if includes_this_node
        && !retry.has_tried(node.me())
        && let Some(method) = local::find_encoded(node, request)
    {
        return Picked::Here(method);
    }
    let table = node.table();
    let caller = caller_trait::<R>();
    let with = Pick {
        target: target.borrowed(),
        caller: &caller,
        method: request.method(),
        tried: retry.tried(),
        accepts_unresponsive: retry.accepts_unresponsive(),
        primary_moved: retry.primary_moved(),
        random: node.env().random(),
        now: node.micros_at(node.env().now()),
    };
    let failure = match pick(&table, &with) {
        Choice::Send { link, .. } => return Picked::Send(Arc::clone(link)),
        Choice::Dial(to) => return Picked::Dial(to.clone()),
        Choice::Unsupported(at, why) => unsupported(at, why),
        Choice::Nobody(mut known) if includes_this_node => {
            let others = known.not_accepting + known.unlinked;
            known.unsupported += 1;
            match local::why_not_here(node, call.service, target) {
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
