//! Calls over a link: from the outbox to the response, or to the end of the link.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use super::{handle::Link, room_wait::RoomWait};
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
pub(crate) struct OutboundCall {
    /// The method's index among the methods of the peer.
    pub(crate) method: MethodIndex,
    /// Whether the call targets the primary.
    pub(crate) primary: bool,
    /// The number of the attempt, from 1.
    pub(crate) attempt: u32,
    /// On this node's clock.
    pub(crate) deadline: Instant,
}

impl OutboundCall {
    /// The remaining time of the call at `now`.
    fn remaining(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }
}

/// The link ended before a response arrived.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    pub(crate) error: LinkError,
    /// Whether everything needed to start the request may have reached the socket.
    pub(crate) sent: bool,
}

impl Link {
    /// Queues a call for the task of `waker` at `now`, if the link is open and its outbox has room. If
    /// this returns `None`, no byte of the call is sent later. A long `body` is moved out, and a short
    /// one is copied.
    pub(crate) fn try_send(
        self: &Arc<Self>,
        call: OutboundCall,
        now: Instant,
        body: &mut EncodedBody,
        waker: &Waker,
    ) -> Option<PendingCall> {
        let room = Room::of_request(body.len());
        self.queue(call, now, body, waker, |outbox| outbox.has_room(room))
    }

    /// Waits for room, then queues a call. Calls are queued in the order in which they started to wait.
    /// If the future is dropped before it completes, nothing is sent.
    ///
    /// # Errors
    ///
    /// Returns an error if the link ends or drains first. In that case, nothing was sent.
    pub(crate) async fn send(
        self: &Arc<Self>,
        call: OutboundCall,
        body: &mut EncodedBody,
    ) -> Result<PendingCall, LinkError> {
        let mut wait = RoomWait::new(self, Room::of_request(body.len()));
        poll_fn(|task| wait.poll(task, Link::is_open)).await;
        let sent = poll_fn(|task| {
            let now = self.now();
            let sent = self.queue(call, now, body, task.waker(), |outbox| wait.leave(outbox));
            Poll::Ready(sent)
        });
        // Room was granted, unless the link is no longer open.
        sent.await.ok_or_else(|| self.error().unwrap_or(LinkError::Drained))
    }

    /// Queues a call, if the link is open and `has_room` returns true.
    fn queue(
        self: &Arc<Self>,
        call: OutboundCall,
        now: Instant,
        body: &mut EncodedBody,
        waker: &Waker,
        has_room: impl FnOnce(&mut Outbox) -> bool,
    ) -> Option<PendingCall> {
        let mut in_flight = self.in_flight();
        let mut outbox = self.outbox();
        if !self.is_open() || in_flight.is_closed() || !has_room(&mut outbox) {
            return None;
        }
        let id = in_flight.add(waker);
        let head = RequestHead {
            id,
            method: call.method,
            primary: call.primary,
            attempt: u64::from(call.attempt),
            stamp: self.micros_at(now),
            timeout: call.remaining(now).as_micros() as u64,
        };
        let long = body.len() > INLINE_BODY_MAX;
        let offset = outbox.request(&head, body);
        drop((in_flight, outbox));
        self.count_call();
        self.wake_writer();
        Some(PendingCall { link: Arc::clone(self), id, offset, long, new: true, over: false })
    }
}

/// A call that was sent. As a future, it returns the response. Dropping it earlier cancels the
/// call.
#[derive(Debug)]
#[must_use = "dropping it cancels the call"]
pub(crate) struct PendingCall {
    link: Arc<Link>,
    id: RequestId,
    offset: Offset,
    /// Whether its body is sent in chunks.
    long: bool,
    /// Set until the first poll, which need not register a waker: sending the call registered the
    /// waker of the task that sent it.
    new: bool,
    over: bool,
}

impl PendingCall {
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
        self.link.in_flight().remove(self.id);
        self.link.wake_writer();
        self.link.end_if_drained();
        true
    }

    /// Cancels the call. Returns whether the call may have executed: false if the peer cannot have
    /// received all of it and never will.
    pub(crate) fn give_up(&mut self) -> bool {
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
    type Output = Result<Response, Lost>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if std::mem::take(&mut this.new) {
            return Poll::Pending;
        }
        let progress = this.link.in_flight().poll(this.id, task.waker());
        match progress {
            Progress::Pending => Poll::Pending,
            Progress::Response(response) => {
                this.over = true;
                if this.long {
                    // The peer refused the request before all of it had arrived, so it does not need the
                    // rest.
                    this.link.outbox().drop_body_of(this.id);
                }
                this.link.end_if_drained();
                Poll::Ready(Ok(response))
            }
            Progress::Closed => {
                let sent = this.give_up();
                let error = this.link.error().unwrap_or(LinkError::Closed);
                Poll::Ready(Err(Lost { error, sent }))
            }
        }
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        self.give_up();
    }
}
