//! Delivers the replies on a link to the calls that wait for them.

use std::{collections::VecDeque, task::Waker};

use bytes::BufMut;

use super::handle::Link;
use crate::{
    codec::bytes::Malformed,
    env::yield_once,
    proto::{link::in_flight::Response, wire::ids::RequestId},
    service::ServiceKind,
};

/// After waking this many calls, the reader yields, so that their tasks can run.
const YIELD_EVERY_RESPONSES: usize = 16;

/// Upper bound on the responses stored under one lock. It also bounds the responses that no call waits
/// for, which are dropped at that point.
const MAX_COMPLETE: usize = 64;

/// Responses whose calls have not been woken yet.
#[derive(Default)]
pub(super) struct Replies {
    /// Complete responses that are not stored with their calls yet.
    complete: Vec<(RequestId, Response)>,
    /// At most one for each call in flight.
    wakers: VecDeque<Waker>,
}

impl Replies {
    /// Handles a complete response.
    pub(super) fn on_response(&mut self, link: &Link, id: RequestId, response: Response) {
        self.complete.push((id, response));
        if self.complete.len() >= MAX_COMPLETE {
            self.store(link);
        }
    }

    /// Handles the start of a reply of `size` bytes, which follows in chunks.
    pub(super) fn on_long_reply(&mut self, link: &Link, id: RequestId, size: u64) {
        if size > link.limit(ServiceKind::Internal) as u64 {
            return self.on_response(link, id, Response::TooLarge(size));
        }
        link.in_flight().begin_reply(id, size);
    }

    pub(super) fn on_chunk(
        &mut self,
        link: &Link,
        id: RequestId,
        chunk: &[u8],
    ) -> Result<(), Malformed> {
        // Chunks of a reply whose call was canceled may still arrive.
        let Some(mut reply) = link.in_flight().take_arriving(id) else { return Ok(()) };
        reply.destination(chunk.len())?.put_slice(chunk);
        if reply.is_complete() {
            self.on_response(link, id, Response::Reply(reply.into_bytes()));
        } else {
            link.in_flight().put_arriving(id, reply);
        }
        Ok(())
    }

    /// Wakes the calls whose responses are complete.
    pub(super) async fn complete_calls(&mut self, link: &Link) {
        self.store(link);
        while !self.wakers.is_empty() {
            let some = self.wakers.len().min(YIELD_EVERY_RESPONSES);
            self.wakers.drain(..some).for_each(Waker::wake);
            if !self.wakers.is_empty() {
                // The woken tasks may make new calls, and the writer may send them, before more are
                // woken.
                yield_once().await;
            }
        }
    }

    /// Stores the complete responses with their calls. Drops those that no call waits for.
    fn store(&mut self, link: &Link) {
        if self.complete.is_empty() {
            return;
        }
        let mut in_flight = link.in_flight();
        let complete = |(id, response)| in_flight.complete(id, response);
        self.wakers.extend(self.complete.drain(..).filter_map(complete));
    }
}
