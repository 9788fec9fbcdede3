//! Calls over a link: from the outbox to the response, or to the end of the link.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use super::{deadlines::Next, handle::Link, outcome::UNCOUNTED, room_wait::RoomWait};
use crate::{
    codec::EncodedBody,
    proto::{
        link::{
            in_flight::{Progress, Response},
            lifecycle::LinkError,
            outbox::{GivenUp, Offset, Outbox, Room},
        },
        wire::{
            frame::{self, INLINE_BODY_MAX, RequestHead},
            ids::{MethodIndex, RequestId},
        },
    },
};

/// A call to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutboundCall<'a> {
    /// The method's index among the methods of the peer.
    pub(crate) method: MethodIndex,
    /// Whether the call targets the primary.
    pub(crate) primary: bool,
    /// The number of the attempt, from 1.
    pub(crate) attempt: u32,
    /// Its encoded optional fields.
    pub(crate) fields: &'a [u8],
    /// When the call ends with [`CallEnd::Expired`], on tokio's clock. `None` if the caller has a timer of
    /// its own. If there is a time, the current thread must be in the runtime of the link's node.
    pub(crate) expires: Option<Instant>,
    /// Whether routing learns from the call. Not from a call of an operator, whose timeout may be too short.
    pub(crate) counts: bool,
}

/// Why a call ended without a response. `sent` is whether everything needed to start the request may have
/// reached the socket.
#[derive(Debug, Clone)]
pub(crate) enum CallEnd {
    /// The link ended.
    Lost { error: LinkError, sent: bool },
    /// The call expired, as its [`OutboundCall::expires`] states.
    Expired { sent: bool },
}

impl Link {
    /// Queues a call with the time that `remaining` states, for the task of `waker` at `now`, if the link
    /// is open and its outbox has room. If this returns `None`, no byte of the call is sent later. A long
    /// `body` is moved out, and a short one is copied.
    #[inline(always)]
    pub(crate) fn try_send(
        self: &Arc<Self>,
        call: OutboundCall<'_>,
        now: Instant,
        remaining: Duration,
        body: &mut EncodedBody,
        waker: &Waker,
    ) -> Option<PendingCall> {
        let room = Room::of_request(body.len());
        self.queue(call, now, remaining, body, waker, |outbox| outbox.has_room(room))
    }

    /// Waits for room, then queues a call that has to end at `deadline`, on this node's clock. Calls are queued
    /// in the order in which they started to wait. If the future is dropped before it completes, nothing is sent.
    ///
    /// # Errors
    ///
    /// Returns an error if the link ends or drains first. In that case, nothing was sent.
    pub(crate) async fn send(
        self: &Arc<Self>,
        call: OutboundCall<'_>,
        deadline: Instant,
        body: &mut EncodedBody,
    ) -> Result<PendingCall, LinkError> {
        let mut wait = RoomWait::new(self, Room::of_request(body.len()));
        poll_fn(|task| wait.poll(task, Link::is_open)).await;
        let sent = poll_fn(|task| {
            let now = self.now();
            let remaining = deadline.saturating_duration_since(now);
            let sent =
                self.queue(call, now, remaining, body, task.waker(), |outbox| wait.leave(outbox));
            Poll::Ready(sent)
        });
        // Room was granted, unless the link is no longer open.
        sent.await.ok_or_else(|| self.error().unwrap_or(LinkError::Drained))
    }

    /// Queues a call, if the link is open and `has_room` returns true.
    #[inline(always)]
    fn queue(
        self: &Arc<Self>,
        call: OutboundCall<'_>,
        now: Instant,
        remaining: Duration,
        body: &mut EncodedBody,
        waker: &Waker,
        has_room: impl FnOnce(&mut Outbox) -> bool,
    ) -> Option<PendingCall> {
        let mut in_flight = self.in_flight();
        let mut outbox = self.outbox();
        if !self.is_open() || in_flight.is_closed() || !has_room(&mut outbox) {
            return None;
        }
        let next_expiry = in_flight.next_expiry();
        let id = in_flight.add(waker, call.expires.map(Instant::into_std));
        let expires_earlier = in_flight.next_expiry() != next_expiry;
        let head = RequestHead {
            id,
            method: call.method,
            primary: call.primary,
            attempt: u64::from(call.attempt),
            stamp: self.micros_at(now),
            timeout: remaining.as_micros() as u64,
        };
        let long = body.len() > INLINE_BODY_MAX;
        let offset = outbox.request(&head, call.fields, body);
        if outbox.is_congested() {
            self.update_congested(&outbox);
        }
        drop((in_flight, outbox));
        if call.attempt == 1 && call.counts {
            self.count_call();
        }
        self.load.on_start();
        self.wake_writer();
        if expires_earlier {
            let link = Arc::downgrade(self);
            let expire = move || link.upgrade().map_or(Next::NoLink, |link| link.expire_calls());
            self.deadlines.set_earlier(self.env(), expire);
        }
        let method = if call.counts { call.method } else { UNCOUNTED };
        let sent_at = head.stamp;
        Some(PendingCall { link: Arc::clone(self), id, offset, method, sent_at, long, over: false })
    }
}

impl Link {
    /// Wakes the calls whose deadlines have passed.
    fn expire_calls(&self) -> Next {
        let now = Instant::now().into_std();
        let mut in_flight = self.in_flight();
        if in_flight.next_expiry().is_some_and(|next| next <= now) {
            in_flight.expire(now);
        }
        in_flight.next_expiry().map_or(Next::NoCall, |next| Next::At(Instant::from_std(next)))
    }
}

/// A call that was sent. As a future, it returns the response. Dropping it earlier cancels the
/// call. Queuing the call has registered the waker of its task, so the first poll may wait until that is
/// woken.
#[derive(Debug)]
#[must_use = "dropping it cancels the call"]
pub(crate) struct PendingCall {
    link: Arc<Link>,
    id: RequestId,
    offset: Offset,
    method: MethodIndex,
    /// In microseconds on the link's clock.
    sent_at: u64,
    /// Whether its body is sent in chunks.
    long: bool,
    over: bool,
}

impl PendingCall {
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Cancels the call, unless the writer has taken its whole request. Returns whether it was canceled.
    /// The peer then cannot start the call.
    pub(crate) fn take_back(&mut self) -> bool {
        if self.over {
            return false;
        }
        {
            let mut outbox = self.link.outbox();
            if outbox.has_taken(self.id, self.offset) {
                return false;
            }
            self.withdraw(&mut outbox);
        }
        self.over = true;
        self.link.record_canceled(self.sent_at);
        self.link.in_flight().remove(self.id);
        self.link.wake_writer();
        self.link.end_if_drained();
        true
    }

    /// Cancels the call, whose deadline has passed. Returns whether the call may have executed, as
    /// [`CallEnd`] defines it.
    #[cold]
    pub(crate) fn expire(&mut self) -> bool {
        if !self.over {
            self.link.record_expired(self.method, self.sent_at);
        }
        self.give_up()
    }

    /// Cancels the call. Returns whether the call may have executed: false if the peer cannot have
    /// received all of it and never will.
    fn give_up(&mut self) -> bool {
        if std::mem::replace(&mut self.over, true) {
            return true;
        }
        self.link.in_flight().remove(self.id);
        if self.link.signals.end.is_cancelled() {
            // The link has ended, so anything still in the outbox is never sent.
            return self.link.sent.covers(self.offset)
                && !self.link.outbox().holds_body_of(self.id);
        }
        let given_up = self.withdraw(&mut self.link.outbox());
        self.link.wake_writer();
        self.link.end_if_drained();
        given_up == GivenUp::Sent
    }

    /// Drops the part of the request that was not taken, and tells the peer if a part was.
    fn withdraw(&self, outbox: &mut Outbox) -> GivenUp {
        let given_up = outbox.give_up(self.id, self.offset);
        if given_up != GivenUp::Unsent {
            frame::put_cancel(self.id, outbox.frames());
        }
        given_up
    }
}

impl Future for PendingCall {
    type Output = Result<Response, CallEnd>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let progress = this.link.in_flight().poll(this.id, task.waker());
        match progress {
            Progress::Pending => Poll::Pending,
            Progress::Response(response) => {
                this.over = true;
                this.link.record_response(this.method, this.sent_at, &response);
                if this.long {
                    // The peer refused the request before all of it had arrived, so it does not need the
                    // rest.
                    this.link.outbox().drop_body_of(this.id);
                }
                this.link.end_if_drained();
                Poll::Ready(Ok(response))
            }
            Progress::Closed => {
                this.link.record_lost(this.method, this.sent_at);
                let sent = this.give_up();
                let error = this.link.error().unwrap_or(LinkError::Closed);
                Poll::Ready(Err(CallEnd::Lost { error, sent }))
            }
            Progress::Expired => Poll::Ready(Err(CallEnd::Expired { sent: this.expire() })),
        }
    }
}

impl Drop for PendingCall {
    #[inline]
    fn drop(&mut self) {
        if !self.over {
            self.link.record_dropped(self.method, self.sent_at);
            self.give_up();
        }
    }
}
