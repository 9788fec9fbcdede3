//! Calls that go to another node: picks one, sends, waits, and tries another if that is safe.

use std::{cell::Cell, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use super::{
    arguments::encode,
    call::{Call, within},
    local,
    record::AttemptRecorder,
    response::{disconnected, read, timeout, unsupported},
};
use crate::{
    error::RpcError,
    proto::routing::{Choice, Entry, Pick, Table, draw, pick},
    runtime::{
        link::{Link, Lost, OutboundCall, Response},
        shared::NodeShared,
    },
    service::{INTERNAL_SERVICE, Request},
    types::{NodeId, NodeInfo, Target},
};

/// How many nodes a call is sent to at most.
const ATTEMPTS: u32 = 3;

/// How long a waiting call leaves a node alone that refused it, if nothing changes before.
const RETRY_REFUSED: Duration = Duration::from_millis(100);

thread_local! {
    /// Where arguments are encoded. Empty while it is in use.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Scratch buffers that grew beyond this are not kept.
const MAX_RETAINED_CAPACITY: usize = 64 << 10;

/// How an attempt went that has not failed.
enum Attempted<T> {
    Replied(T),
    /// The link was closed before anything was sent: there may be another to the same node.
    LinkClosed,
    /// The node does not take the arguments of this call, so that nothing was sent.
    Unfit(RpcError),
}

/// On which link an attempt was made, and how it went.
type Attempt<T> = (Arc<Link>, Result<Attempted<T>, RpcError>);

/// What a call does next.
enum Step {
    Send(Arc<Link>),
    Dial(NodeInfo),
    Fail(RpcError),
}

/// Makes the call on another node.
pub(super) async fn call<R: Request>(
    node: &NodeShared,
    call: &Call,
    request: &R,
    watch: &mut AttemptRecorder<'_>,
) -> Result<R::Response, RpcError> {
    let version = node.version();
    let first = match next_step::<R>(node, call, request, &node.table(), &[], false) {
        Step::Send(link) => {
            let outcome = attempt_on(node, call, request, &link, 1, watch).await;
            watch.end(outcome.as_ref().err());
            match outcome {
                Ok(Attempted::Replied(response)) => return Ok(response),
                outcome => Some((link, outcome)),
            }
        }
        Step::Dial(_) | Step::Fail(_) => None,
    };
    // Few calls come this far, so that no other has room for what follows.
    Box::pin(go_on(node, call, request, version, first, watch)).await
}

/// Tries further nodes after the `first` attempt, if there was one.
async fn go_on<R: Request>(
    node: &NodeShared,
    call: &Call,
    request: &R,
    version: u64,
    first: Option<Attempt<R::Response>>,
    watch: &mut AttemptRecorder<'_>,
) -> Result<R::Response, RpcError> {
    let mut unsettled = None;
    let outcome = attempts(node, call, request, version, first, &mut unsettled, watch).await;
    match (outcome, unsettled) {
        // That the last attempt did not execute says nothing of those before it.
        (Err(error), Some(earlier)) if !error.may_have_executed() => Err(match error {
            RpcError::Timeout { node, .. } => timeout(call, node, true),
            _ => earlier,
        }),
        (outcome, _) => outcome,
    }
}

/// Tries one node after another. The last failure that leaves open whether the call was executed
/// is left in `unsettled`.
async fn attempts<R: Request>(
    node: &NodeShared,
    call: &Call,
    request: &R,
    mut version: u64,
    mut first: Option<Attempt<R::Response>>,
    unsettled: &mut Option<RpcError>,
    watch: &mut AttemptRecorder<'_>,
) -> Result<R::Response, RpcError> {
    let mut tried = Vec::new();
    let mut number = 1;
    let mut last = None;
    let mut moved = false;
    loop {
        let attempt = match first.take() {
            Some(first) => Some(first),
            None => {
                version = node.version();
                let table = node.table();
                match next_step::<R>(node, call, request, &table, &tried, moved) {
                    Step::Send(link) => {
                        drop(table);
                        let outcome = attempt_on(node, call, request, &link, number, watch).await;
                        watch.end(outcome.as_ref().err());
                        Some((link, outcome))
                    }
                    Step::Dial(info) => {
                        let dialled = within(node, call, node.dial(info.addr())).await;
                        if !dialled.ok_or_else(|| timeout(call, Some(info.clone()), false))? {
                            tried.push(info.id().clone());
                        }
                        None
                    }
                    Step::Fail(error) => {
                        let (error, ready) = (last.take().unwrap_or(error), table.ready);
                        drop(table);
                        wait_for_change(node, call, error, ready, version).await?;
                        tried.clear();
                        number = 1;
                        None
                    }
                }
            }
        };
        match attempt {
            None | Some((_, Ok(Attempted::LinkClosed))) => {}
            Some((_, Ok(Attempted::Replied(response)))) => return Ok(response),
            Some((link, Ok(Attempted::Unfit(error)))) => {
                tried.push(link.peer().id().clone());
                last = Some(error);
            }
            Some((link, Err(error))) if may_retry(call, &error) => {
                if error.may_have_executed() {
                    *unsettled = Some(error.clone());
                }
                moved |= matches!(error, RpcError::NotPrimary { .. }) && !call.wait.is_zero();
                if number < ATTEMPTS {
                    number += 1;
                    // A link that takes no more calls may have a successor by now: of two that were
                    // opened at once one is given up.
                    if !matches!(error, RpcError::Disconnected { sent: false, .. }) {
                        tried.push(link.peer().id().clone());
                    }
                    last = Some(error);
                } else {
                    // Enough were asked; in a while they may take it.
                    wait_for_change(node, call, error, true, version).await?;
                    tried.clear();
                    number = 1;
                }
            }
            Some((_, Err(error))) => return Err(error),
        }
        if node.is_shut_down() {
            return Err(call.shut_down());
        }
    }
}

/// Waits until it may be worth looking again after `version` of what is known was looked at, or gives
/// up with `error`.
async fn wait_for_change(
    node: &NodeShared,
    call: &Call,
    error: RpcError,
    ready: bool,
    version: u64,
) -> Result<(), RpcError> {
    // Before the first round of looking for nodes is over, nobody can say that there is none.
    let looking = !ready && matches!(error, RpcError::NoNode { .. } | RpcError::Unsupported { .. });
    let until = if looking { call.deadline } else { call.begun + call.wait.min(call.after) };
    let left = until.saturating_duration_since(node.env().now());
    if left.is_zero() || !(looking || can_wait(&error)) {
        return Err(if looking { timeout(call, None, false) } else { error });
    }
    let limit = if looking { left } else { left.min(RETRY_REFUSED) };
    // Whether something changed or time passed, the next look will tell.
    tokio::select! {
        biased;
        () = node.stop().cancelled() => {}
        _ = tokio::time::timeout(limit, node.changed_since(version)) => {}
    }
    Ok(())
}

/// What to do next. If the primary has `moved`, a call that waits for it goes to whichever node takes
/// itself for primary.
fn next_step<R: Request>(
    node: &NodeShared,
    call: &Call,
    request: &R,
    table: &Table<Arc<Link>>,
    tried: &[NodeId],
    moved: bool,
) -> Step {
    let place = request.method();
    let picking = Pick {
        service: call.service,
        fit: |link: &Arc<Link>| link.compats::<R>()[place].clone(),
        tried,
        nearest: matches!(call.target, Target::Nearest),
        random: node.env().random(),
    };
    let primaries = moved.then(|| table.nodes().filter(|entry| is_primary(entry)));
    let mut primaries = primaries.into_iter().flatten().peekable();
    let choice = match &call.target {
        Target::Primary(_) if primaries.peek().is_some() => pick(primaries, &picking),
        Target::Region(region) | Target::Primary(region) => draw(table.region(region), &picking),
        Target::Node(id) => pick(table.node(id).into_iter(), &picking),
        Target::Nearest => pick(table.nodes(), &picking),
    };
    match choice {
        Choice::Send(entry) => {
            let link = entry.link.as_ref().expect("only linked nodes are sent to");
            Step::Send(Arc::clone(link))
        }
        Choice::Dial(entry) => Step::Dial(entry.info.clone()),
        Choice::Unsupported(info, why) => Step::Fail(unsupported(info, call, why)),
        Choice::Nobody(mut known) => {
            if call.is_here(node) {
                let others = known.not_accepting + known.unlinked;
                if let Some(error) = local::lacks::<R>(node, call).filter(|_| others == 0) {
                    return Step::Fail(error);
                }
                known.unsupported += 1;
            }
            known.not_flyrpc = table.not_flyrpc;
            known.unreachable = table.unreachable;
            Step::Fail(RpcError::NoNode {
                target: call.target.clone(),
                service: call.service,
                method: call.method,
                known,
            })
        }
    }
}

/// Whether a node takes its own region for the primary, as far as it said.
fn is_primary(entry: &Entry<Arc<Link>>) -> bool {
    let says_so = |link: &Arc<Link>| link.state().primary_region == *entry.info.region();
    entry.link.as_ref().is_some_and(says_so)
}

/// Whether another node may be tried: if this one surely did not start the call, or the method is
/// idempotent and it is the link that failed.
fn may_retry(call: &Call, error: &RpcError) -> bool {
    match error {
        RpcError::Unsupported { .. } | RpcError::NotPrimary { .. } | RpcError::Refused { .. } => {
            true
        }
        RpcError::Disconnected { sent, .. } => !sent || call.idempotent,
        _ => false,
    }
}

/// Whether a call that waits for a node may hope that this changes. After a link that was lost only
/// such calls ask that may go elsewhere.
fn can_wait(error: &RpcError) -> bool {
    matches!(
        error,
        RpcError::NoNode { .. }
            | RpcError::Refused { .. }
            | RpcError::NotPrimary { .. }
            | RpcError::Disconnected { .. }
    )
}

/// One attempt, on one node.
async fn attempt_on<R: Request>(
    node: &NodeShared,
    call: &Call,
    request: &R,
    link: &Arc<Link>,
    attempt: u32,
    watch: &mut AttemptRecorder<'_>,
) -> Result<Attempted<R::Response>, RpcError> {
    let info = link.peer();
    let mut body = SCRATCH.take();
    body.clear();
    let limit = link.limit(call.service == INTERNAL_SERVICE);
    let encoded = encode(info, call, request, &link.compats::<R>(), limit, &mut body);
    let number = match encoded {
        Ok(number) => number,
        Err(error @ RpcError::Unsupported { .. }) => return Ok(Attempted::Unfit(error)),
        Err(error) => return Err(error),
    };
    let request_bytes = body.len();
    let Call { primary, deadline, .. } = *call;
    let outgoing = OutboundCall { method: number, primary, attempt, deadline };
    let sent = poll_fn(|task| Poll::Ready(link.try_send(outgoing, &mut body, task.waker()))).await;
    let mut pending = match sent {
        Some(pending) => {
            keep(body);
            pending
        }
        None => match Box::pin(within(node, call, link.send(outgoing, &mut body))).await {
            Some(Ok(pending)) => pending,
            Some(Err(_)) => return Ok(Attempted::LinkClosed),
            None => return Err(timeout(call, Some(info.clone()), false)),
        },
    };
    watch.start(info, Some(request_bytes));
    let left = call.deadline.saturating_duration_since(node.env().now());
    let Ok(answer) = tokio::time::timeout(left, &mut pending).await else {
        let sent = pending.give_up();
        return Err(timeout(call, Some(info.clone()), sent));
    };
    let answer = answer.map_err(|Lost { error, sent }| disconnected(call, info, error, sent))?;
    if let Response::Reply(body) = &answer {
        watch.reply(body.len());
    }
    let result = read::<R>(node, call, request.method(), info, answer);
    if let Err(error @ RpcError::Timeout { .. }) = result {
        // The serving node knows a little earlier that no answer will arrive in time.
        let left = call.deadline.saturating_duration_since(node.env().now());
        let late = async move {
            tokio::time::sleep(left).await;
            Err(error)
        };
        return Box::pin(late).await;
    }
    result.map(Attempted::Replied)
}

fn keep(mut scratch: Vec<u8>) {
    if scratch.capacity() <= MAX_RETAINED_CAPACITY {
        scratch.clear();
        SCRATCH.set(scratch);
    }
}
