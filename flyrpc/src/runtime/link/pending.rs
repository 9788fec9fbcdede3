//! Calls that were sent on a link and wait for their answers.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Link, LinkError, lock};
use crate::proto::link::outbox::{GivenUp, Place};
use crate::proto::wire::{
    frame::{self, RequestHead},
    ids::{MethodIndex, RequestId},
};

/// A call that is to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutboundCall {
    /// The method's place in the peer's table.
    pub(crate) method: MethodIndex,
    /// Whether it is aimed at the primary.
    pub(crate) primary: bool,
    /// From 1.
    pub(crate) attempt: u32,
    /// On this node's clock.
    pub(crate) deadline: Instant,
}

/// What came back for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Response {
    /// The encoded reply.
    Reply(Bytes),
    /// What a fault frame holds.
    Status(Bytes),
    /// A reply that is larger than this node takes.
    TooLarge(u64),
}

/// The link ended before a response came.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    pub(crate) error: LinkError,
    /// Whether all that it takes to start the request had reached the socket.
    pub(crate) sent: bool,
}

/// The calls of one end of a link.
#[derive(Debug, Default)]
pub(super) struct Calls {
    last_id: u64,
    waiting: BTreeMap<RequestId, Waiting>,
    lost: bool,
}

#[derive(Debug)]
struct Waiting {
    waker: Waker,
    answer: Option<Response>,
}

impl Calls {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether somebody waits for the answer to `id`.
    pub(super) fn expects(&self, id: RequestId) -> bool {
        self.waiting.get(&id).is_some_and(|waiting| waiting.answer.is_none())
    }

    /// Hands an answer over, and tells whom to wake. One that nobody waits for is dropped.
    pub(super) fn answered(&mut self, id: RequestId, answer: Response) -> Option<Waker> {
        let waiting = self.waiting.get_mut(&id)?;
        if waiting.answer.is_some() {
            return None;
        }
        waiting.answer = Some(answer);
        // It is woken once; whoever takes the answer needs the waker no more.
        Some(std::mem::replace(&mut waiting.waker, Waker::noop().clone()))
    }

    /// Tells all that wait that no answer will come.
    pub(super) fn lose_all(&mut self) {
        self.lost = true;
        for waiting in self.waiting.values() {
            waiting.waker.wake_by_ref();
        }
    }
}

impl Link {
    /// Sends a call for the task of `waker`, if there is space for it and the link is open. Not a byte
    /// of it goes out later if this gives none. A long body is taken.
    pub(crate) fn try_send(
        self: &Arc<Self>,
        call: OutboundCall,
        body: &mut Vec<u8>,
        waker: &Waker,
    ) -> Option<PendingCall> {
        let now = self.env.now();
        let mut calls = lock(&self.calls);
        let mut outbox = lock(&self.outbox);
        if !self.is_open() || calls.lost || outbox.is_full() {
            return None;
        }
        calls.last_id += 1;
        let id = RequestId(calls.last_id);
        calls.waiting.insert(id, Waiting { waker: waker.clone(), answer: None });
        let head = RequestHead {
            id,
            method: call.method,
            primary: call.primary,
            attempt: u64::from(call.attempt),
            stamp: self.micros_at(now),
            timeout: call.deadline.saturating_duration_since(now).as_micros() as u64,
        };
        let place = outbox.request(&head, body);
        drop((calls, outbox));
        self.wake_writer.notify_one();
        Some(PendingCall { link: Arc::clone(self), id, place, new: true, over: false })
    }

    /// Waits for space and sends a call. An error if the link ends or retires first: then nothing
    /// was sent. Dropping the future sends nothing.
    pub(crate) async fn send(
        self: &Arc<Self>,
        call: OutboundCall,
        body: &mut Vec<u8>,
    ) -> Result<PendingCall, LinkError> {
        loop {
            let space = self.space.notified();
            let sent = poll_fn(|task| Poll::Ready(self.try_send(call, body, task.waker())));
            if let Some(pending) = sent.await {
                return Ok(pending);
            }
            if !self.is_open() {
                return Err(self.error().unwrap_or(LinkError::Retired));
            }
            tokio::select! {
                biased;
                () = self.end.cancelled() => {}
                () = space => {}
            }
        }
    }
}

/// A call that was sent. As a future it gives the answer; dropped before, it cancels the call.
#[derive(Debug)]
#[must_use = "dropping it cancels the call"]
pub(crate) struct PendingCall {
    link: Arc<Link>,
    id: RequestId,
    place: Place,
    /// Whether it was not polled since it was sent, with the waker of the task that sent it.
    new: bool,
    over: bool,
}

impl PendingCall {
    /// Cancels the call, and tells whether any of it may have been executed: false if the peer
    /// cannot have seen all of it and never will.
    pub(crate) fn give_up(&mut self) -> bool {
        if std::mem::replace(&mut self.over, true) {
            return true;
        }
        lock(&self.link.calls).waiting.remove(&self.id);
        if self.link.end.is_cancelled() {
            // What is still in the outbox stays there.
            return self.reached_socket() && !lock(&self.link.outbox).holds_body_of(self.id);
        }
        let given_up = {
            let mut outbox = lock(&self.link.outbox);
            let given_up = outbox.give_up(self.id, self.place);
            if given_up != GivenUp::Unsent {
                frame::put_cancel(self.id, outbox.frames());
            }
            given_up
        };
        self.link.wake_writer.notify_one();
        self.link.end_if_finished();
        given_up == GivenUp::Sent
    }

    /// Whether the socket took the request's frame. Final once the link has ended.
    fn reached_socket(&self) -> bool {
        self.place.is_before(self.link.written.load(Ordering::Acquire))
    }
}

impl Future for PendingCall {
    type Output = Result<Response, Lost>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        if std::mem::take(&mut self.new) {
            return Poll::Pending;
        }
        let this = &mut *self;
        let mut calls = lock(&this.link.calls);
        let lost = calls.lost;
        let waiting = calls.waiting.get_mut(&this.id).expect("polled only until it is over");
        if let Some(answer) = waiting.answer.take() {
            calls.waiting.remove(&this.id);
            drop(calls);
            this.over = true;
            this.link.end_if_finished();
            return Poll::Ready(Ok(answer));
        }
        if !lost {
            waiting.waker.clone_from(task.waker());
            return Poll::Pending;
        }
        drop(calls);
        let sent = this.give_up();
        let error = this.link.error().unwrap_or(LinkError::Closed);
        Poll::Ready(Err(Lost { error, sent }))
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        self.give_up();
    }
}
