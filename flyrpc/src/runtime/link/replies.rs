//! Delivers the replies on a link to the calls that wait for them.

use std::{collections::VecDeque, task::Waker};

use bytes::Bytes;

use super::{buffers::Buffers, handle::Link};
use crate::{
    codec::bytes::Malformed,
    env::yield_once,
    proto::{
        link::{assembler::PartialBody, in_flight::Response},
        wire::{frame::INLINE_BODY_MAX, ids::RequestId},
    },
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

    /// Copies the bodies of the complete responses, so that they do not pin the buffer from which they were
    /// cut until their calls are polled.
    pub(super) fn own_bodies(&mut self) {
        for (_, response) in &mut self.complete {
            if let Response::Reply(body) | Response::Status(body) = response
                && body.len() <= INLINE_BODY_MAX
            {
                *body = Bytes::copy_from_slice(body);
            }
        }
    }

    /// Handles the start of a reply of `size` bytes, which follows in chunks.
    pub(super) fn on_long_reply(
        &mut self,
        link: &Link,
        buffers: &Buffers,
        id: RequestId,
        size: u64,
    ) {
        if size > link.limit(ServiceKind::Internal) as u64 {
            return self.on_response(link, id, Response::TooLarge(size));
        }
        let reply = PartialBody::new(size, buffers.take(size));
        link.in_flight().begin_reply(id, reply);
    }

    /// Handles a part of a chunk. `rest` more bytes of the chunk follow.
    pub(super) fn on_chunk(
        &mut self,
        link: &Link,
        buffers: &Buffers,
        id: RequestId,
        part: &[u8],
        rest: usize,
    ) -> Result<(), Malformed> {
        // Chunks of a reply whose call was canceled may still arrive.
        let Some(mut reply) = link.in_flight().take_arriving(id) else { return Ok(()) };
        reply.put(part, rest)?;
        if reply.is_complete() {
            self.on_response(link, id, Response::Reply(buffers.share(reply.into_buffer())));
        } else {
            link.in_flight().put_arriving(id, reply);
        }
        Ok(())
    }

    /// Wakes the calls whose responses are complete. Returns whether there were any.
    pub(super) async fn complete_calls(&mut self, link: &Link) -> bool {
        self.store(link);
        let has_woken = !self.wakers.is_empty();
        while !self.wakers.is_empty() {
            let some = self.wakers.len().min(YIELD_EVERY_RESPONSES);
            self.wakers.drain(..some).for_each(Waker::wake);
            if !self.wakers.is_empty() {
                // The woken tasks may make new calls, and the writer may send them, before more are
                // woken.
                yield_once().await;
            }
        }
        has_woken
    }

    /// Stores the complete responses with their calls. Drops those that no call waits for.
    pub(super) fn store(&mut self, link: &Link) {
        if self.complete.is_empty() {
            return;
        }
        link.on_responses();
        let mut in_flight = link.in_flight();
        let complete = |(id, response)| in_flight.complete(id, response);
        self.wakers.extend(self.complete.drain(..).filter_map(complete));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_bodies_do_not_pin_the_buffer_from_which_they_were_cut() {
        let buffer = Bytes::from(vec![7; 1 << 20]);
        let response =
            |of: fn(Bytes) -> Response, at: usize| (RequestId(1), of(buffer.slice(at..at + 3)));
        let complete = vec![response(Response::Reply, 10), response(Response::Status, 20)];
        let mut replies = Replies { complete, wakers: VecDeque::new() };
        assert!(!buffer.is_unique());
        replies.own_bodies();
        assert!(buffer.is_unique());
        let bodies =
            [Response::Reply(Bytes::from(vec![7; 3])), Response::Status(vec![7; 3].into())];
        assert!(replies.complete.into_iter().map(|(_, response)| response).eq(bodies));
    }
}
