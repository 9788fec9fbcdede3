//! Requests from the peer. Each has one handle, from its arrival to its response.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::AbortHandle;
use tokio::time::Instant;

use super::handle::Link;
use crate::{
    proto::wire::{
        frame::{self, INLINE_BODY_MAX, RequestHead},
        ids::RequestId,
        status::Status,
    },
    service::ServiceKind,
    types::NodeInfo,
};

/// Decides which requests of a peer run, and runs them.
pub(crate) trait RequestHandler: Send + Sync + 'static {
    /// Held by a request from its admission to its end, while it counts as in flight.
    type Permit: Send + 'static;

    /// What it knows of a peer. All links to one peer share it.
    type Peer: Send + Sync + 'static;

    /// Returns what it knows of `peer`, which has opened a link.
    fn peer(&self, peer: &NodeInfo) -> Self::Peer;

    /// Decides whether a request of `peer` may start, before its body is read.
    fn admit(
        &self,
        peer: &Self::Peer,
        head: &RequestHead,
        size: u64,
    ) -> Result<Self::Permit, Status>;

    /// Returns whether the node is about to shut down, and accepts no more requests.
    fn is_draining(&self) -> bool;

    /// Starts admitted requests that arrived together on one link, each with its remaining time as
    /// of `now`.
    fn start(
        self: &Arc<Self>,
        link: &Arc<Link>,
        now: Instant,
        requests: Vec<(Admitted<Self::Permit>, Duration)>,
    );
}

/// An admitted request. Its body is empty until all chunks have arrived.
pub(crate) struct Admitted<P> {
    pub(crate) permit: P,
    pub(crate) request: InboundRequest,
    pub(crate) attempt: u32,
    pub(crate) body: Bytes,
}

impl<P> Admitted<P> {
    /// Copies the body if it is part of a buffer that it shares with other frames.
    pub(super) fn own_body(&mut self) {
        // A body that arrived in chunks has a buffer of its own.
        if self.body.len() <= INLINE_BODY_MAX {
            self.body = Bytes::copy_from_slice(&self.body);
        }
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

/// The encoded reply, or the status to send instead.
pub(crate) type ResponseResult = Result<Vec<u8>, Status>;

impl InboundRequest {
    /// Registers a request that has arrived. Returns `None` if it must be ignored because an
    /// unfinished request has the same id or the link has ended.
    pub(super) fn begin(link: &Arc<Link>, id: RequestId) -> Option<Self> {
        let added = link.inbound().add(id);
        added.then(|| InboundRequest { link: Arc::clone(link), id })
    }

    /// The node that sent it.
    pub(crate) fn caller(&self) -> &NodeInfo {
        self.link.peer()
    }

    /// Whether the request should still be started: it was not canceled, and the link has not
    /// ended.
    pub(crate) fn is_wanted(&self) -> bool {
        self.link.inbound().is_wanted(self.id)
    }

    /// Registers `abort` for the handler's task. The handler is aborted when the request is
    /// canceled or the link ends, or immediately if either has already happened.
    pub(crate) fn abort_with(&self, abort: AbortHandle) {
        let registered = self.link.inbound().executing(self.id, abort);
        if let Err(abort) = registered {
            abort.abort();
        }
    }

    /// Lets the handler run to completion, even if the request is canceled later. Returns false if
    /// the request should not be started, because it was canceled or the link has ended.
    #[must_use = "a request that is no longer wanted must not start"]
    pub(crate) fn detach(&self) -> bool {
        self.link.inbound().detach(self.id)
    }

    /// Refuses the request, which did not execute. Never waits.
    pub(crate) fn refuse(self, status: Status) {
        let status = status.for_level(self.link.status_level()).encode();
        frame::put_status(self.id, &status, self.link.outbox().frames());
        self.link.wake_writer();
    }

    /// Queues the response as soon as there is room, and sends it. Dropping the future before that
    /// drops the response.
    pub(crate) async fn respond(self, of: ServiceKind, response: ResponseResult) {
        let link = Arc::clone(&self.link);
        let mut next = (self, response);
        loop {
            let room = link.signals.room.notified();
            let (request, response) = next;
            match request.try_respond(of, response, Flush::Now) {
                Ok(()) => return,
                Err(unsent) => next = unsent,
            }
            room.await;
        }
    }

    /// Queues the response, if there is room for it.
    ///
    /// # Errors
    ///
    /// Returns the request and its response if there is no room.
    pub(crate) fn try_respond(
        self,
        of: ServiceKind,
        response: ResponseResult,
        flush: Flush,
    ) -> Result<(), (Self, ResponseResult)> {
        let limit = self.link.limit(of);
        let mut outbox = self.link.outbox();
        if outbox.is_full() && self.link.error().is_none() {
            drop(outbox);
            return Err((self, response));
        }
        match response {
            Ok(body) if body.len() > limit => {
                let (size, limit) = (body.len() as u64, limit as u64);
                let status = Status::ReplyTooLarge { size, limit };
                frame::put_status(self.id, &status.encode(), outbox.frames());
            }
            Ok(body) => outbox.reply(self.id, body),
            Err(status) => frame::put_status(self.id, &status.encode(), outbox.frames()),
        }
        drop(outbox);
        if flush == Flush::Now {
            self.link.flush();
        }
        Ok(())
    }
}

impl Drop for InboundRequest {
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
        if let Some(abort) = abort {
            abort.abort();
            self.outbox().forget_reply(id);
        }
    }
}
