//! Requests from the peer. Each has one handle, from its arrival to its response.

use std::{
    borrow::Cow,
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{handle::Link, peer::Origin, room_wait::RoomWait};
use crate::{
    codec::{EncodedBody, scratch},
    proto::{
        link::{
            bodies::Held,
            gate::Gated,
            outbox::{Outbox, Room},
        },
        wire::{
            frame::{self, INLINE_BODY_MAX, RequestHead},
            ids::RequestId,
            request_fields::RequestFields,
            status::Status,
        },
    },
    service::ServiceKind,
    types::NodeInfo,
};

/// Decides which requests of a peer run, and runs them.
pub(crate) trait RequestHandler: Send + Sync + 'static {
    /// Held by a request from its admission to its end, while it counts as in flight.
    type Permit: RequestPermit;

    /// The handler's state for a peer. All links to one peer share it.
    type Peer: Send + Sync + 'static;

    /// Returns the handler's state for `peer`, which has opened a link.
    fn peer(&self, peer: &NodeInfo) -> Self::Peer;

    /// Decides whether a request from `caller`, for which the handler keeps the state `peer`, may start,
    /// before its body is read.
    fn admit(
        &self,
        caller: &NodeInfo,
        peer: &Self::Peer,
        head: &RequestHead,
        fields: Option<&RequestFields>,
        size: u64,
    ) -> Result<Self::Permit, Cow<'static, Status>>;

    /// Returns the number of admitted requests of all peers that are in flight.
    fn in_flight(&self) -> u64;

    /// Returns whether the node is about to shut down, and accepts no more requests.
    fn is_draining(&self) -> bool;

    /// Frees unused memory. Called while a link is idle.
    fn shrink(&self);

    /// Returns how many of the first `requests` may start at once. Other tasks run before the next ones
    /// start.
    fn start_together(&self, requests: &[Gated<Admitted<Self::Permit>>]) -> usize;

    /// Starts admitted requests that arrived together on one link, and left the gate `now`.
    fn start(
        self: &Arc<Self>,
        link: &Arc<Link>,
        now: Instant,
        requests: Vec<Gated<Admitted<Self::Permit>>>,
    );
}

/// Held by an admitted request. The node's limits count the request until this is dropped.
pub(crate) trait RequestPermit: Send + Sync + 'static {
    /// Takes memory of the node for a long reply of `bytes` bytes, until the permit is dropped. Returns
    /// false if the reply must wait. Has no effect if the reply has its memory.
    fn take_memory(&mut self, bytes: usize) -> bool;

    /// Waits for that memory, and takes it. Dropping the future earlier takes nothing.
    fn wait_for_memory(&mut self, bytes: usize) -> impl Future<Output = ()> + Send;

    /// Returns the memory that it has taken.
    fn release_memory(&mut self);

    /// Counts the request as held, until its handler starts or this is dropped.
    fn hold(&mut self);
}

/// An admitted request. Its body is empty until all chunks have arrived.
pub(crate) struct Admitted<P> {
    pub(crate) permit: P,
    pub(crate) request: InboundRequest,
    pub(crate) attempt: u32,
    // One pointer, because every request moves this several times, and few have fields.
    pub(crate) fields: Option<Box<RequestFields>>,
    pub(crate) body: Bytes,
}

impl<P> Admitted<P> {
    /// Copies the body if it shares a buffer with other frames.
    pub(super) fn own_body(&mut self) {
        own(&mut self.body);
    }
}

/// Copies the body of a request if it shares a buffer with other frames.
fn own(body: &mut Bytes) {
    // A body that arrived in chunks has its own buffer.
    if body.len() <= INLINE_BODY_MAX {
        *body = Bytes::copy_from_slice(body);
    }
}

/// An unfinished request. Dropping this finishes the request, with or without a response, so no
/// code path can leave a request unfinished.
#[must_use = "dropping it ends the request without a response"]
pub(crate) struct InboundRequest {
    link: Arc<Link>,
    id: RequestId,
}

/// When to send a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    Now,
    /// At the next [`Link::flush`], or earlier.
    Later,
}

/// An encoded reply.
pub(crate) struct Reply {
    pub(crate) body: EncodedBody,
    /// Encodes the same value again. Present if the body is long, because a long body is not kept in
    /// memory while there is no room for it.
    pub(crate) encode_again: Option<EncodeAgain>,
}

/// Encodes the value of a reply again. Catches panics of user code, including panics in destructors.
pub(crate) type EncodeAgain = Box<dyn FnOnce() -> Result<EncodedBody, Status> + Send>;

/// The reply, or the status to send instead.
pub(crate) type ResponseResult = Result<Reply, Status>;

/// A response, and the values that it needs until it is written.
pub(crate) struct Outgoing<P> {
    pub(crate) of: ServiceKind,
    pub(crate) result: ResponseResult,
    /// When the caller gives up.
    pub(crate) deadline: Instant,
    /// Dropped once the writer has taken the whole response or can no longer take it.
    pub(crate) permit: P,
}

static DENIED_WITHOUT_REASON: Status = Status::Denied { message: String::new() };

impl Link {
    /// Refuses a request, which did not execute. Never waits. The caller must wake the writer. Omits the reason of a
    /// denial if there is no room for it: the reasons for many denials to a slow peer would overflow the outbox.
    #[inline]
    pub(super) fn queue_refusal(&self, id: RequestId, status: &Status) {
        let mut outbox = self.outbox();
        let status = match status {
            Status::Denied { message } if !outbox.has_room(Room::of_reply(message.len())) => {
                &DENIED_WITHOUT_REASON
            }
            status => status,
        };
        frame::put_status(id, &status.for_level(self.status_level()).encode(), outbox.frames());
    }
}

impl InboundRequest {
    /// Registers a request that has arrived. Returns `None` if it must be ignored because an
    /// unfinished request has the same id or the link has ended.
    #[inline(always)]
    pub(super) fn begin(link: &Arc<Link>, id: RequestId) -> Option<Self> {
        let added = link.inbound().add(id);
        added.then(|| InboundRequest { link: Arc::clone(link), id })
    }

    pub(super) fn id(&self) -> RequestId {
        self.id
    }

    /// What is known about the caller beyond its claims.
    pub(crate) fn origin(&self) -> Origin {
        self.link.origin()
    }

    /// The node that sent it.
    pub(crate) fn caller(&self) -> &NodeInfo {
        self.link.peer()
    }

    /// Returns the current time.
    pub(crate) fn now(&self) -> Instant {
        self.link.now()
    }

    /// Whether the request should still be started: it was not canceled, and the link has not
    /// ended. It was certainly not canceled while the link counted [`cancellations`](Link::cancellations).
    #[inline(always)]
    pub(crate) fn is_wanted(&self, cancellations: u32) -> bool {
        let unchanged = self.link.cancellations() == cancellations && !self.link.has_ended();
        unchanged || self.link.inbound().is_wanted(self.id)
    }

    /// Polls `future`. Returns `None` if the request was canceled or the link has ended, unless the handler
    /// is [detached](Self::detach) and the link has not ended.
    pub(crate) fn poll_unless_canceled<F: Future>(
        &self,
        future: Pin<&mut F>,
        task: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        poll_unless_canceled(&self.link, self.id, future, task)
    }

    /// Lets the handler run to completion, even if the request is canceled later. Returns false if
    /// the request should not be started, because it was canceled or the link has ended.
    #[must_use = "a request that is no longer wanted must not start"]
    pub(crate) fn detach(&self) -> bool {
        self.link.inbound().detach(self.id)
    }

    /// Refuses the request, which did not execute. Never waits.
    pub(crate) fn refuse(self, status: Status) {
        self.link.queue_refusal(self.id, &status);
        self.link.wake_writer();
    }

    /// Waits for room in the outbox and for memory of the node, then sends the response. Until then, only
    /// the value of a long reply is kept, not its encoding. A response that is still waiting at its
    /// deadline is dropped. Dropping the future earlier also drops the response.
    pub(crate) async fn respond<P: RequestPermit>(self, mut response: Outgoing<P>) {
        let link = Arc::clone(&self.link);
        let room = response.room();
        let mut wait = RoomWait::new(&link, room);
        let encode_again = response.drop_body();
        let remaining = response.deadline.saturating_duration_since(link.now());
        let permit = &mut response.permit;
        let granted = async {
            poll_fn(|task| wait.poll(task, |link| !link.has_ended())).await;
            let Room::LongReply(bytes) = room else { return };
            tokio::select! {
                biased;
                () = link.signals.end.cancelled() => {}
                () = permit.wait_for_memory(bytes) => {}
            }
        };
        let granted = {
            let mut granted = pin!(tokio::time::timeout(remaining, granted));
            poll_fn(|task| poll_unless_canceled(&link, self.id, granted.as_mut(), task)).await
        };
        match granted {
            None => return,
            Some(Err(_elapsed)) => return self.refuse(Status::TimedOut),
            Some(Ok(())) => {}
        }
        if let Some(encode) = encode_again {
            response.result = encode().map(|body| Reply { body, encode_again: None });
        }
        // Room was granted, unless the link has ended.
        let _ = self.queue(response, |outbox, _| wait.leave(outbox), Flush::Now);
    }

    /// Queues the response, if there is room for it.
    ///
    /// # Errors
    ///
    /// Returns the request and its response if there is no room.
    #[inline(always)]
    pub(crate) fn try_respond<P: RequestPermit>(
        self,
        response: Outgoing<P>,
        flush: Flush,
    ) -> Result<(), (Self, Outgoing<P>)> {
        self.queue(response, |outbox, room| outbox.has_room(room), flush)
    }

    #[inline(always)]
    fn queue<P: RequestPermit>(
        self,
        mut response: Outgoing<P>,
        has_room: impl FnOnce(&mut Outbox, Room) -> bool,
        flush: Flush,
    ) -> Result<(), (Self, Outgoing<P>)> {
        response.limit_to(self.link.limit(response.of));
        let room = response.room();
        if let Room::LongReply(bytes) = room
            && !response.permit.take_memory(bytes)
        {
            return Err((self, response));
        }
        let mut outbox = self.link.outbox();
        if self.link.has_ended() {
            drop(outbox);
            return Ok(());
        }
        if !has_room(&mut outbox, room) {
            drop(outbox);
            response.permit.release_memory();
            return Err((self, response));
        }
        let Outgoing { result, deadline, permit, .. } = response;
        match result {
            Ok(Reply { mut body, encode_again }) if body.len() > INLINE_BODY_MAX => {
                let deadline = self.link.micros_at(deadline);
                outbox.long_reply(self.id, &mut body, deadline, Held::new(permit));
                drop(outbox);
                drop(encode_again);
                self.take_back_if_canceled();
            }
            Ok(Reply { body, .. }) => {
                outbox.reply(self.id, body.contiguous().expect("a short body is contiguous"));
                drop(outbox);
                scratch::put(body);
            }
            Err(status) => {
                let status = status.for_level(self.link.status_level());
                frame::put_status(self.id, &status.encode(), outbox.frames());
                drop(outbox);
            }
        }
        if flush == Flush::Now {
            self.link.flush();
        }
        Ok(())
    }

    /// Drops a reply whose caller canceled the request after the handler had ended.
    fn take_back_if_canceled(&self) {
        if !self.link.inbound().wants_reply(self.id) {
            self.link.cancel_reply(self.id);
        }
    }
}

/// Polls `future`, unless request `id` was canceled or the link has ended. Then, returns `None`.
fn poll_unless_canceled<F: Future>(
    link: &Link,
    id: RequestId,
    future: Pin<&mut F>,
    task: &mut Context<'_>,
) -> Poll<Option<F::Output>> {
    if !link.inbound().is_wanted(id) {
        return Poll::Ready(None);
    }
    match future.poll(task) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        // A cancellation after this wakes the task.
        Poll::Pending if link.inbound().pending(id, || task.waker().clone()) => Poll::Pending,
        Poll::Pending => Poll::Ready(None),
    }
}

impl<P> Outgoing<P> {
    /// Returns the room in the outbox that the response needs.
    fn room(&self) -> Room {
        // A status is a few bytes long.
        Room::of_reply(self.result.as_ref().map_or(0, |reply| reply.body.len()))
    }

    /// Replaces a reply that is larger than `limit` bytes with an error status.
    fn limit_to(&mut self, limit: usize) {
        if let Ok(reply) = &self.result
            && reply.body.len() > limit
        {
            let (size, limit) = (reply.body.len() as u64, limit as u64);
            self.result = Err(Status::ReplyTooLarge { size, limit });
        }
    }

    /// Drops the encoded reply if it can be encoded again, and returns the function for that.
    fn drop_body(&mut self) -> Option<EncodeAgain> {
        let reply = self.result.as_mut().ok()?;
        let encode = reply.encode_again.take()?;
        reply.body = EncodedBody::new();
        Some(encode)
    }
}

impl Drop for InboundRequest {
    #[inline(always)]
    fn drop(&mut self) {
        self.link.inbound().remove(self.id);
        self.link.end_if_drained();
    }
}

impl fmt::Debug for InboundRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundRequest").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Link {
    /// Sends the responses that [`InboundRequest::try_respond`] has queued.
    pub(crate) fn flush(&self) {
        self.wake_writer();
    }

    /// Handles the peer's cancellation of a request.
    pub(super) fn on_cancel(&self, id: RequestId) {
        let abort = self.inbound().cancel(id);
        self.cancellations.fetch_add(1, Ordering::Release);
        if let Some(abort) = abort {
            abort.wake();
        }
        self.cancel_reply(id);
    }

    /// Returns the number of cancellations that were handled, modulo 2^32.
    pub(crate) fn cancellations(&self) -> u32 {
        self.cancellations.load(Ordering::Acquire)
    }

    /// Drops the rest of a reply whose caller no longer waits for it.
    fn cancel_reply(&self, id: RequestId) {
        let held = self.outbox().cancel_reply(id);
        if held.is_some() {
            self.grant_room();
            self.wake_writer();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_body_does_not_pin_the_buffer_from_which_it_was_cut() {
        let buffer = Bytes::from(vec![7; 1 << 20]);
        let mut held: Vec<_> =
            [0, 1, INLINE_BODY_MAX].map(|length| buffer.slice(10..10 + length)).into();
        held.iter_mut().for_each(own);
        assert!(buffer.is_unique());
        assert!(held.iter().map(Bytes::len).eq([0, 1, INLINE_BODY_MAX]));
        assert!(held.iter().flatten().all(|&byte| byte == 7));
    }

    #[test]
    fn a_body_that_arrived_in_chunks_is_not_copied() {
        let mut body = Bytes::from(vec![7; INLINE_BODY_MAX + 1]);
        let before = body.as_ptr();
        own(&mut body);
        assert_eq!(body.as_ptr(), before);
    }
}
