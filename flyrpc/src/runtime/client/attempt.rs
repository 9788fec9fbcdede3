//! One attempt of a call, on one node.

use std::{
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{
    arguments::{BodyLimit, encode},
    call::Call,
    local::{self, EncodedMethod},
    remote_call::RemoteCall,
    response::decode,
};
use crate::{
    codec::{EncodedBody, scratch},
    proto::{
        routing::{AttemptEnd, AttemptFailure, Compats, Endpoint as _},
        wire::{frame::INLINE_BODY_MAX, ids::MethodIndex},
    },
    runtime::{
        link::{CallEnd, Link, OutboundCall, PendingCall, Response},
        shared::NodeShared,
    },
    service::{IsErr, Request, ServiceKind, caller_trait},
};

/// The number of an attempt, and when it starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttemptStart<'a> {
    /// The number of the attempt within the call, from 1.
    pub(super) number: u32,
    /// Whether the call may run only on a node that considers itself primary.
    pub(super) primary: bool,
    /// The encoded optional fields of the request.
    pub(super) fields: &'a [u8],
    /// The current time, on this node's clock.
    pub(super) now: Instant,
    /// The remaining time of the call.
    pub(super) remaining: Duration,
    /// When the attempt expires by the timer of the link, if it has no timer of its own: see
    /// [`OutboundCall::expires`].
    pub(super) expires: Option<Instant>,
}

/// An attempt whose arguments are encoded.
pub(super) enum Attempt {
    Queued(QueuedAttempt),
    /// The link has no room for the request.
    NoRoom(Box<UnqueuedAttempt>),
}

/// An attempt whose request is queued on the link, or has been sent.
pub(super) struct QueuedAttempt {
    pending: PendingCall,
    /// Whether the peer was silent when the request was queued.
    was_quiet: bool,
    /// The size of the arguments.
    pub(super) request_bytes: usize,
}

/// An attempt whose request waits for room.
pub(super) struct UnqueuedAttempt {
    link: Arc<Link>,
    method: MethodIndex,
    primary: bool,
    number: u32,
    body: EncodedBody,
}

/// Encodes a request for the node of `link`, and queues it if there is room. `compats` is that node's
/// compatibility with the caller's trait.
// The rare results are boxed, so that the others are cheap to move.
#[inline(always)]
pub(super) fn begin<R: Request>(
    node: &NodeShared,
    request: &R,
    link: &Arc<Link>,
    compats: &Compats,
    AttemptStart { number, primary, fields, now, remaining, expires }: AttemptStart<'_>,
    task: &Context<'_>,
) -> Result<Attempt, Box<AttemptEnd>> {
    let mut body = scratch::take();
    let limit = BodyLimit::of_link(link.limit(ServiceKind::of(R::SERVICE)), node.max_body());
    let method = encode(request, compats, limit, &mut body)
        .map_err(|failure| not_encoded(request, failure))?;
    let request_bytes = body.len();
    // Encoding a short body takes less time than reading the clock.
    let (now, remaining) = if request_bytes > INLINE_BODY_MAX {
        let encoded = node.env().now();
        (encoded, remaining.saturating_sub(encoded - now))
    } else {
        (now, remaining)
    };
    let was_quiet = link.is_quiet();
    let outbound = OutboundCall { method, primary, attempt: number, fields, expires, counts: true };
    Ok(match link.try_send(outbound, now, remaining, &mut body, task.waker()) {
        Some(pending) => {
            scratch::put(body);
            Attempt::Queued(QueuedAttempt { pending, was_quiet, request_bytes })
        }
        None => Attempt::NoRoom(Box::new(UnqueuedAttempt {
            link: Arc::clone(link),
            method,
            primary,
            number,
            body,
        })),
    })
}

/// Where an attempt runs.
pub(super) enum Place<'a> {
    /// On the node at the other end of this link.
    Link(Arc<Link>),
    /// On this node.
    Here(EncodedMethod<'a>),
}

/// Makes an attempt other than the first: sends the request and waits for the response, or runs the handler.
pub(super) async fn attempt<R: Request>(
    of: RemoteCall<'_, '_, R>,
    place: Place<'_>,
    number: u32,
) -> Result<R::Response, AttemptEnd> {
    let link = match place {
        Place::Link(link) => link,
        Place::Here(method) => return Ok(Box::pin(local::call_encoded(of, method, number)).await?),
    };
    let RemoteCall { node, call, request, target, .. } = of;
    let now = node.env().now();
    let (primary, remaining) = (call.is_primary_at(target), call.remaining(now));
    let fields = call.fields();
    let start = AttemptStart { number, primary, fields, now, remaining, expires: None };
    let begun = poll_fn(|task| {
        let compats = link.compats(&caller_trait::<R>());
        Poll::Ready(begin(node, request, &link, compats, start, task))
    });
    begun.await.map_err(|end| *end)?.finish(of).await
}

impl Attempt {
    pub(super) fn link(&self) -> &Arc<Link> {
        match self {
            Attempt::Queued(queued) => queued.link(),
            Attempt::NoRoom(unqueued) => &unqueued.link,
        }
    }

    /// Waits for the response.
    pub(super) async fn finish<R: Request>(
        self,
        of: RemoteCall<'_, '_, R>,
    ) -> Result<R::Response, AttemptEnd> {
        let RemoteCall { node, call, request, recorder, target } = of;
        let mut queued = match self {
            Attempt::Queued(queued) => queued,
            Attempt::NoRoom(unqueued) => {
                Box::pin(unqueued.queue_when_there_is_room(node, call)).await?
            }
        };
        let recorded = recorder.start(target, queued.link().peer(), Some(queued.request_bytes));
        let response = poll_fn(|task| queued.poll(task));
        let outcome = match timeout(call.remaining(node.env().now()), response).await {
            Ok(Ok(response)) => {
                if let Response::Reply(body) = &response {
                    recorder.reply(recorded, body.len());
                }
                let decoded = decode::<R>(node, request.method(), response);
                if let Err(AttemptFailure::Timeout { .. }) = decoded {
                    Box::pin(until_deadline(node, call)).await;
                }
                decoded.map_err(AttemptEnd::from)
            }
            Ok(Err(end)) => Err(end),
            Err(_elapsed) => Err(AttemptFailure::Timeout { sent: queued.pending.expire() }.into()),
        };
        match &outcome {
            Ok(response) => {
                recorder.set_node(queued.link().peer());
                recorder.end(recorded, Ok(IsErr::of::<R>(response)));
            }
            Err(end) => recorder.end_without_reply(recorded, end),
        }
        outcome
    }
}

impl QueuedAttempt {
    pub(super) fn link(&self) -> &Arc<Link> {
        self.pending.link()
    }

    /// Returns the response, or how the attempt ended without one.
    #[inline(always)]
    pub(super) fn poll(&mut self, task: &mut Context<'_>) -> Poll<Result<Response, AttemptEnd>> {
        Poll::Ready(match Pin::new(&mut self.pending).poll(task) {
            // The link wakes all calls when its peer goes quiet. If there is no other node, the call returns
            // to this one.
            Poll::Pending
                if !self.was_quiet && self.link().is_quiet() && self.pending.take_back() =>
            {
                Err(AttemptEnd::LinkClosed)
            }
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(response)) => Ok(response),
            Poll::Ready(Err(CallEnd::Lost { error, sent })) => {
                Err(AttemptFailure::Disconnected { sent, source: Arc::new(error) }.into())
            }
            Poll::Ready(Err(CallEnd::Expired { sent })) => {
                Err(AttemptFailure::Timeout { sent }.into())
            }
        })
    }
}

impl UnqueuedAttempt {
    async fn queue_when_there_is_room(
        mut self,
        node: &NodeShared,
        call: &Call,
    ) -> Result<QueuedAttempt, AttemptEnd> {
        let link = &self.link;
        let was_quiet = link.is_quiet();
        let request_bytes = self.body.len();
        let UnqueuedAttempt { method, primary, number: attempt, .. } = self;
        let fields = call.fields();
        let outbound =
            OutboundCall { method, primary, attempt, fields, expires: None, counts: true };
        let mut send = pin!(link.send(outbound, call.start.deadline(), &mut self.body));
        // Nothing has been sent yet, so any call may look for another node once this one goes quiet. If
        // there is none, the call returns to this node.
        let send = poll_fn(|task| match send.as_mut().poll(task) {
            Poll::Pending if !was_quiet && link.is_quiet() => Poll::Ready(None),
            sent => sent.map(Some),
        });
        match timeout(call.remaining(node.env().now()), send).await {
            Ok(Some(Ok(pending))) => Ok(QueuedAttempt { pending, was_quiet, request_bytes }),
            Ok(Some(Err(_)) | None) => Err(AttemptEnd::LinkClosed),
            Err(_elapsed) => Err(AttemptFailure::Timeout { sent: false }.into()),
        }
    }
}

/// Waits until the deadline of a call for which no reply can arrive in time. The serving node detects that
/// slightly early.
pub(super) async fn until_deadline(node: &NodeShared, call: &Call) {
    let remaining = call.remaining(node.env().now());
    if !remaining.is_zero() {
        sleep(remaining).await;
    }
}

/// Returns how an attempt ends whose arguments cannot be encoded.
#[cold]
fn not_encoded<R: Request>(request: &R, failure: AttemptFailure) -> Box<AttemptEnd> {
    let idempotent = R::methods()[request.method()].options.idempotent;
    // Nothing was sent, so this does not count as an attempt.
    let may_retry = failure.permits_retry(idempotent);
    Box::new(if may_retry { AttemptEnd::NotSent(failure) } else { failure.into() })
}
