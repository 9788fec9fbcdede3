//! Calls that go to another node: picks one, sends, waits, and tries another if that is safe.

use std::{cell::Cell, future::Future, sync::Arc, time::Duration};

use super::{
    call::Call,
    local::{encode, unsupported},
};
use crate::{
    BodyError, NodeId, NodeInfo, Refusal, RpcError, Target, Unsupported,
    hub::Hub,
    link::{Answer, Link, Outgoing},
    routing::{Choice, Entry, Pick, Table, pick},
    service::Request,
    wire::fault::{Fault, UnknownFault},
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
const KEEP: usize = 64 << 10;

/// What a call does next.
enum Step {
    Send(Arc<Entry<Arc<Link>>>),
    Dial(NodeInfo),
    Fail(RpcError),
}

/// Makes the call on another node.
pub(super) async fn call<R: Request>(
    node: &Hub,
    call: &Call,
    request: &R,
) -> Result<R::Response, RpcError> {
    let wait_until = node.env().now() + call.wait.min(call.after);
    let mut tried = Vec::new();
    let mut attempt = 1;
    let mut last = None;
    loop {
        let mut changes = node.changes();
        let table = node.table();
        match next_step::<R>(node, call, request, &table, &tried) {
            Step::Send(entry) => {
                drop(table);
                match attempt_on(node, call, request, &entry, attempt).await {
                    Ok(response) => return Ok(response),
                    Err(error) if attempt < ATTEMPTS && may_retry(call, &error) => {
                        attempt += 1;
                        tried.push(entry.info.id().clone());
                        last = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            Step::Dial(info) => {
                let dialled = within(node, call, node.dial(info.addr())).await;
                if !dialled.ok_or_else(|| timeout(call, Some(info.clone()), false))? {
                    tried.push(info.id().clone());
                }
            }
            Step::Fail(error) => {
                let error = last.take().unwrap_or(error);
                // Before the first round of looking for nodes is over, nobody can say that there
                // is none.
                let looking = !table.ready
                    && matches!(error, RpcError::NoNode { .. } | RpcError::Unsupported { .. });
                let until = if looking { call.deadline } else { wait_until };
                let left = until.saturating_duration_since(node.env().now());
                if left.is_zero() || !(looking || can_wait(&error)) {
                    return Err(if looking { timeout(call, None, false) } else { error });
                }
                drop(table);
                let limit = if looking { left } else { left.min(RETRY_REFUSED) };
                // Whether something changed or time passed, the next look will tell.
                let _ = tokio::time::timeout(limit, changes.changed()).await;
                tried.clear();
                attempt = 1;
            }
        }
        if node.is_shut_down() {
            return Err(RpcError::ShutDown { service: call.service, method: call.method });
        }
    }
}

/// Runs `future` until the call's deadline; none if that comes first.
async fn within<F: Future>(node: &Hub, call: &Call, future: F) -> Option<F::Output> {
    let left = call.deadline.saturating_duration_since(node.env().now());
    tokio::time::timeout(left, future).await.ok()
}

fn next_step<R: Request>(
    node: &Hub,
    call: &Call,
    request: &R,
    table: &Table<Arc<Link>>,
    tried: &[NodeId],
) -> Step {
    let place = request.method();
    let picking = Pick {
        service: call.service,
        fit: |link: &Arc<Link>| link.fits::<R>()[place].clone(),
        tried,
        nearest: matches!(call.target, Target::Nearest),
        random: node.env().random(),
    };
    let choice = match &call.target {
        Target::Region(region) | Target::Primary(region) => {
            pick(table.region(region).iter(), &picking)
        }
        Target::Node(id) => pick(table.node(id).into_iter(), &picking),
        Target::Nearest => pick(table.nodes(), &picking),
    };
    match choice {
        Choice::Send(entry) => Step::Send(Arc::clone(entry)),
        Choice::Dial(entry) => Step::Dial(entry.info.clone()),
        Choice::Unsupported(info, why) => Step::Fail(unsupported(info, call, why)),
        Choice::Nobody(mut known) => {
            known.unsupported += usize::from(call.is_here(node));
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

/// Whether a call that waits for a node may hope that this changes.
fn can_wait(error: &RpcError) -> bool {
    matches!(
        error,
        RpcError::NoNode { .. } | RpcError::Refused { .. } | RpcError::NotPrimary { .. }
    )
}

/// One attempt, on one node.
async fn attempt_on<R: Request>(
    node: &Hub,
    call: &Call,
    request: &R,
    entry: &Entry<Arc<Link>>,
    attempt: u32,
) -> Result<R::Response, RpcError> {
    let info = &entry.info;
    let link = entry.link.as_ref().expect("only linked nodes are sent to");
    let fits = link.fits::<R>();
    let mut body = SCRATCH.take();
    body.clear();
    let number = encode(info, call, request, &fits, &mut body)?;
    if body.len() > link.limit() {
        let (size, limit) = (body.len(), link.limit());
        let Call { service, method, .. } = *call;
        return Err(RpcError::ArgumentsTooLarge { service, method, size, limit });
    }
    let outgoing =
        Outgoing { method: number, primary: call.primary, attempt, deadline: call.deadline };
    let mut pending = match link.try_send(outgoing, &body) {
        Some(pending) => {
            keep(body);
            pending
        }
        None => within(node, call, link.send(outgoing, &body))
            .await
            .ok_or_else(|| timeout(call, Some(info.clone()), false))?
            .map_err(|error| disconnected(call, info, error, false))?,
    };
    let Some(answer) = within(node, call, &mut pending).await else {
        let sent = pending.give_up();
        return Err(timeout(call, Some(info.clone()), sent));
    };
    let answer = answer.map_err(|(error, sent)| disconnected(call, info, error, sent))?;
    let result = read::<R>(node, call, request.method(), info, answer);
    if let Err(RpcError::Timeout { .. }) = result {
        // The serving node knows a little earlier that no answer will arrive in time.
        tokio::time::sleep(call.deadline.saturating_duration_since(node.env().now())).await;
    }
    result
}

fn keep(mut scratch: Vec<u8>) {
    if scratch.capacity() <= KEEP {
        scratch.clear();
        SCRATCH.set(scratch);
    }
}

fn read<R: Request>(
    node: &Hub,
    call: &Call,
    method: usize,
    info: &NodeInfo,
    answer: Answer,
) -> Result<R::Response, RpcError> {
    let Call { service, method: name, .. } = *call;
    match answer {
        Answer::Reply(body) => (R::methods()[method].decode_reply)(&body).map_err(|source| {
            RpcError::BadReply { node: Some(info.clone()), service, method: name, source }
        }),
        Answer::TooLarge(size) => Err(too_large(call, info, size, node.max_body() as u64)),
        Answer::Fault(fault) => Err(match Fault::decode(&fault) {
            Ok(fault) => failed(node, call, info, fault),
            Err(UnknownFault { executed: true }) => RpcError::BadReply {
                node: Some(info.clone()),
                service,
                method: name,
                source: BodyError::new("", "an error that this version does not know"),
            },
            Err(UnknownFault { executed: false }) => unsupported(info, call, Unsupported::Protocol),
        }),
    }
}

/// The caller's error for what went wrong at the serving node.
fn failed(us: &Hub, call: &Call, info: &NodeInfo, fault: Fault) -> RpcError {
    let Call { service, method, .. } = *call;
    let node = info.clone();
    let refused = |reason| RpcError::Refused { node: info.clone(), service, method, reason };
    match fault {
        Fault::NotPrimary { theirs } => RpcError::NotPrimary {
            node,
            service,
            method,
            theirs,
            ours: us.primary_region().clone(),
        },
        Fault::Draining => refused(Refusal::Draining),
        Fault::Overloaded => refused(Refusal::Overloaded),
        Fault::Held => refused(Refusal::Held),
        Fault::NoMethod => unsupported(info, call, Unsupported::Method),
        Fault::BadArguments { path, message } => {
            let detail = BodyError::new(path, message).to_string();
            unsupported(info, call, Unsupported::Arguments(detail))
        }
        Fault::ArgumentsTooLarge { size, limit } => {
            RpcError::ArgumentsTooLarge { service, method, size: clamp(size), limit: clamp(limit) }
        }
        Fault::Expired => timeout(call, Some(node), false),
        Fault::TimedOut => timeout(call, Some(node), true),
        Fault::Panicked { message } => RpcError::Panicked { node, service, method, message },
        Fault::ReplyTooLarge { size, limit } => too_large(call, info, size, limit),
        Fault::BadReply { path, message } => RpcError::BadReply {
            node: Some(node),
            service,
            method,
            source: BodyError::new(path, message),
        },
    }
}

fn too_large(call: &Call, info: &NodeInfo, size: u64, limit: u64) -> RpcError {
    let Call { service, method, .. } = *call;
    let (size, limit) = (clamp(size), clamp(limit));
    RpcError::ReplyTooLarge { node: info.clone(), service, method, size, limit }
}

fn timeout(call: &Call, node: Option<NodeInfo>, sent: bool) -> RpcError {
    let Call { service, method, after, .. } = *call;
    RpcError::Timeout { after, node, service, method, sent }
}

fn disconnected(
    call: &Call,
    info: &NodeInfo,
    error: impl std::error::Error + Send + Sync + 'static,
    sent: bool,
) -> RpcError {
    let Call { service, method, .. } = *call;
    RpcError::Disconnected {
        node: Some(info.clone()),
        service,
        method,
        sent,
        source: Arc::new(error),
    }
}

fn clamp(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
