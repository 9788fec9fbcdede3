//! Delivers the replies on a link to the calls that wait for them.

use std::{collections::VecDeque, task::Waker};

use bytes::BufMut;

use super::handle::Link;
use crate::{
    codec::bytes::Malformed,
    env::yield_once,
    proto::{
        link::{assembler::Assembler, in_flight::Response},
        wire::ids::RequestId,
    },
    service::ServiceKind,
};

/// After waking this many calls, the reader yields, so that their tasks can run.
const YIELD_EVERY_RESPONSES: usize = 16;

/// Incomplete replies, and responses whose calls have not been woken yet.
#[derive(Default)]
pub(super) struct Replies {
    partial: Assembler<()>,
    complete: VecDeque<(RequestId, Response)>,
    /// Empty, except while calls are being woken.
    wakers: Vec<Waker>,
}

impl Replies {
    /// Handles a complete response.
    pub(super) fn on_response(&mut self, id: RequestId, response: Response) {
        self.partial.remove(id);
        self.complete.push_back((id, response));
    }

    /// Handles the start of a reply of `size` bytes, which follows in chunks.
    pub(super) fn on_long_reply(&mut self, link: &Link, id: RequestId, size: u64) {
        if !link.in_flight().expects(id) {
            return;
        }
        if size > link.limit(ServiceKind::Internal) as u64 {
            return self.on_response(id, Response::TooLarge(size));
        }
        self.partial.begin(id, size, ());
    }

    pub(super) fn on_chunk(
        &mut self,
        link: &Link,
        id: RequestId,
        chunk: &[u8],
    ) -> Result<(), Malformed> {
        // Chunks of a reply whose call was canceled may still arrive.
        let Some(mut to) = self.partial.destination(id, chunk.len())? else { return Ok(()) };
        to.put_slice(chunk);
        if let Some(((), body)) = self.partial.take_complete(id) {
            self.on_response(id, Response::Reply(body));
        } else if !link.in_flight().expects(id) {
            self.partial.remove(id);
        }
        Ok(())
    }

    /// Wakes the calls whose responses are complete.
    pub(super) async fn complete_calls(&mut self, link: &Link) {
        while !self.complete.is_empty() {
            let some = self.complete.len().min(YIELD_EVERY_RESPONSES);
            {
                let mut in_flight = link.in_flight();
                let complete = |(id, response)| in_flight.complete(id, response);
                self.wakers.extend(self.complete.drain(..some).filter_map(complete));
            }
            self.wakers.drain(..).for_each(Waker::wake);
            if !self.complete.is_empty() {
                // The woken tasks may make new calls, and the writer may send them, before more are
                // woken.
                yield_once().await;
            }
        }
    }
}
