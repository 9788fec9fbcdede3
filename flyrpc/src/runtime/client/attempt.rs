//! One attempt of a call, on one node.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use tokio::time::{Instant, sleep, timeout};

use super::{
    arguments::{BodyLimit, encode},
    call::Call,
    record::AttemptRecorder,
    response::decode,
};
use crate::{
    codec::EncodedBody,
    proto::{
        routing::{AttemptEnd, AttemptFailure, Compats},
        wire::{frame::INLINE_BODY_MAX, ids::MethodIndex},
    },
    runtime::{
        link::{Link, Lost, OutboundCall, PendingCall, Response},
        shared::NodeShared,
    },
    service::{Request, ServiceKind},
};

thread_local! {
    /// The buffer in which arguments are encoded. Empty while a call uses it.
    static SCRATCH: Cell<EncodedBody> = const { Cell::new(EncodedBody::new()) };
}

/// A scratch buffer with a larger capacity than this, in bytes, is not kept.
const MAX_RETAINED_CAPACITY: usize = 64 << 10;

/// The number of an attempt, and when it starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttemptStart {
    /// The number of the attempt within the call, from 1.
    pub(super) number: u32,
    /// The current time, on this node's clock.
    pub(super) now: Instant,
}

/// Sends the request over `link` to a node, and waits for the response. `compats` is that node's
/// compatibility with the caller's trait.
pub(super) async fn attempt<R: Request>(
    node: &NodeShared,
    call: &Call,
    request: &R,
    link: &Arc<Link>,
    compats: Arc<Compats>,
    AttemptStart { number, now }: AttemptStart,
    recorder: &AttemptRecorder<'_>,
) -> Result<R::Response, AttemptEnd> {
    let (method, mut body) = encode_in_scratch(node, call, request, link, compats)?;
    let request_bytes = body.len();
    // Encoding a short body takes less time than reading the clock.
    let now = if request_bytes > INLINE_BODY_MAX { node.env().now() } else { now };
    let Call { primary, deadline, .. } = *call;
    let was_quiet = link.is_quiet();
    let outbound = OutboundCall { method, primary, attempt: number, deadline };
    let sent = poll_fn(|task| Poll::Ready(link.try_send(outbound, now, &mut body, task.waker())));
    let (mut pending, now) = match sent.await {
        Some(pending) => {
            retain(body);
            (pending, now)
        }
        None => {
            let sent = Box::pin(send_when_there_is_room(node, call, link, outbound, body)).await?;
            (sent, node.env().now())
        }
    };
    let recorded = recorder.start(link.peer(), Some(request_bytes));
    let response = poll_fn(|task| match Pin::new(&mut pending).poll(task) {
        // The link wakes all calls when its peer goes quiet. If there is no other node, the call returns
        // to this one.
        Poll::Pending if link.is_quiet() && !was_quiet && pending.take_back() => Poll::Ready(None),
        polled => polled.map(Some),
    });
    let outcome = match timeout(call.remaining(now), response).await {
        Ok(None) => {
            recorder.cancel(recorded);
            return Err(AttemptEnd::LinkClosed);
        }
        Ok(Some(Ok(response))) => {
            if let Response::Reply(body) = &response {
                recorder.reply(recorded, body.len());
            }
            match decode::<R>(node, request.method(), response) {
                Err(failure @ AttemptFailure::Timeout { .. }) => {
                    // The serving node detects slightly early that no reply will arrive in time. The
                    // call still fails at its deadline.
                    Box::pin(sleep(call.remaining(node.env().now()))).await;
                    Err(failure)
                }
                decoded => decoded,
            }
        }
        Ok(Some(Err(Lost { error, sent }))) => {
            Err(AttemptFailure::Disconnected { sent, source: Arc::new(error) })
        }
        Err(_elapsed) => Err(AttemptFailure::Timeout { sent: pending.give_up() }),
    };
    recorder.end(recorded, outcome.as_ref().err());
    Ok(outcome?)
}

async fn send_when_there_is_room(
    node: &NodeShared,
    call: &Call,
    link: &Arc<Link>,
    outbound: OutboundCall,
    mut body: EncodedBody,
) -> Result<PendingCall, AttemptEnd> {
    let was_quiet = link.is_quiet();
    let mut send = pin!(link.send(outbound, &mut body));
    // Nothing has been sent yet, so any call may look for another node once this one goes quiet. If
    // there is none, the call returns to this node.
    let send = poll_fn(|task| match send.as_mut().poll(task) {
        Poll::Pending if !was_quiet && link.is_quiet() => Poll::Ready(None),
        sent => sent.map(Some),
    });
    match timeout(call.remaining(node.env().now()), send).await {
        Ok(Some(Ok(pending))) => Ok(pending),
        Ok(Some(Err(_)) | None) => Err(AttemptEnd::LinkClosed),
        Err(_elapsed) => Err(AttemptFailure::Timeout { sent: false }.into()),
    }
}

fn encode_in_scratch<R: Request>(
    node: &NodeShared,
    call: &Call,
    request: &R,
    link: &Link,
    compats: Arc<Compats>,
) -> Result<(MethodIndex, EncodedBody), AttemptEnd> {
    let mut body = SCRATCH.take();
    body.clear();
    let limit = BodyLimit::of_link(link.limit(ServiceKind::of(call.service)), node.max_body());
    match encode(request, &compats, limit, &mut body) {
        Ok(method) => Ok((method, body)),
        // Nothing was sent, so this does not count as an attempt.
        Err(failure) if failure.permits_retry(call.idempotent) => Err(AttemptEnd::NotSent(failure)),
        Err(failure) => Err(failure.into()),
    }
}

fn retain(mut scratch: EncodedBody) {
    if scratch.capacity() <= MAX_RETAINED_CAPACITY {
        scratch.clear();
        SCRATCH.set(scratch);
    }
}
