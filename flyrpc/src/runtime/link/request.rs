//! Requests of the peer: one handle each, from arrival to response.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::AbortHandle;
use tokio::time::Instant;

use super::handle::Link;
use crate::{
    proto::wire::{
        frame::{self, RequestHead},
        ids::RequestId,
        status::Status,
    },
    service::ServiceKind,
    types::NodeInfo,
};

/// Decides which requests of a peer run, and runs them.
pub(crate) trait RequestHandler: Send + Sync + 'static {
    /// What a request holds from its admission to its end: its place among those in flight.
    type Permit: Send + 'static;

    /// Decides whether a request may start at all, before its body is read. `others` is how many
    /// other requests of the link are not finished.
    fn admit(&self, head: &RequestHead, size: u64, others: usize) -> Result<Self::Permit, Status>;

    /// Starts admitted requests of one link which arrived together, each with the time that it has
    /// left from `now`.
    fn start(
        self: &Arc<Self>,
        link: &Arc<Link>,
        now: Instant,
        requests: Vec<(Admitted<Self::Permit>, Duration)>,
    );
}

/// A request whose body is complete and whose caller still waits.
pub(crate) struct Admitted<P> {
    pub(crate) permit: P,
    pub(crate) request: InboundRequest,
    pub(crate) attempt: u32,
    pub(crate) body: Bytes,
}

/// A request that is not finished. It ends when this is dropped, answered or not, so that no path can
/// forget it.
#[must_use = "dropping it ends the request without a response"]
pub(crate) struct InboundRequest {
    link: Arc<Link>,
    id: RequestId,
}

/// When a response goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    Now,
    /// With the next [`Link::flush`], if not before.
    Later,
}

/// The encoded value of a reply, or why there is none.
pub(crate) type ResponseResult = Result<Vec<u8>, Status>;

impl InboundRequest {
    /// Notes that a request has arrived, and returns it with the number of others that are not
    /// finished. None if it is to be ignored: one with its id is not finished, or the link has ended.
    pub(super) fn begin(link: &Arc<Link>, id: RequestId) -> Option<(Self, usize)> {
        let others = link.inbound().add(id)?;
        Some((InboundRequest { link: Arc::clone(link), id }, others))
    }

    /// The node that sent it.
    pub(crate) fn caller(&self) -> &NodeInfo {
        self.link.peer()
    }

    /// Whether it is still to be started: it was not cancelled, and the link has not ended.
    pub(crate) fn is_wanted(&self) -> bool {
        self.link.inbound().is_wanted(self.id)
    }

    /// Lets its handler be aborted, which runs in a task of its own, when it is cancelled or the link
    /// ends. Aborts at once if either has happened.
    pub(crate) fn abort_with(&self, abort: AbortHandle) {
        if let Err(abort) = self.link.inbound().executing(self.id, abort) {
            abort.abort();
        }
    }

    /// Lets its handler run to its end, even if it is cancelled.
    pub(crate) fn detach(&self) {
        self.link.inbound().detach(self.id);
    }

    /// Refuses the request: it did not execute. Never waits.
    pub(crate) fn refuse(self, status: &Status) {
        frame::put_status(self.id, &status.encode(), self.link.outbox().frames());
        self.link.wake_writer();
    }

    /// Responds as soon as there is room, and lets the response go out. Dropping the future drops the
    /// response.
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

    /// Responds if there is room for it.
    ///
    /// # Errors
    ///
    /// If there is no room now: the request and its response come back.
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
    /// Lets the responses go out that were queued by [`InboundRequest::try_respond`].
    pub(crate) fn flush(&self) {
        self.wake_writer();
    }

    /// The peer gave a request up.
    pub(super) fn on_cancel(&self, id: RequestId) {
        let abort = self.inbound().cancel(id);
        if let Some(abort) = abort {
            abort.abort();
            self.outbox().forget_reply(id);
        }
    }
}
