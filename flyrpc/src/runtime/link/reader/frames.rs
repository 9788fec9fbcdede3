//! How the reader handles frames.

use std::mem;

use bytes::Bytes;

use super::{
    BYTES_PER_FIELD_WORK, BufferContents, MAX_PINNED, MAX_WORK, OpenChunk, PING_WORK, REQUEST_WORK,
    Reader, STATE_WORK,
};
use crate::{
    codec::bytes::Malformed,
    proto::{
        link::{assembler::PartialBody, in_flight::Response, lifecycle::LinkError},
        routing::Endpoint as _,
        wire::{
            frame::{self, Body, BodyOf, ChunkStart, Frame, INLINE_BODY_MAX, RequestHead, Rest},
            ids::RequestId,
            request_fields::{self, RequestFields},
            state::State,
        },
    },
    runtime::link::{
        request::{Admitted, InboundRequest, RequestHandler},
        transport::FrameReader,
    },
};

impl<H: RequestHandler> Reader<'_, H> {
    /// Handles the complete frames in the buffer. Returns whether one of them was a pong that answers a
    /// ping.
    pub(super) async fn on_frames(&mut self, from: &mut FrameReader) -> Result<bool, LinkError> {
        self.buffer = BufferContents::default();
        // The rest of a chunk contains no frame.
        if self.is_busy() {
            self.yield_to_others().await;
        }
        let mut total = 0;
        loop {
            let (frames, rest) = from.take_frames();
            total += frames.len();
            let mut done = 0;
            while let Some((frame, length)) = frame::split(&frames[done..])? {
                self.on_frame(frame::decode(frame)?, &frames)?;
                done += length;
                self.work += 1;
                if self.is_busy() {
                    self.yield_to_others().await;
                }
            }
            self.send_refusals();
            if rest? == Rest::Incomplete {
                break;
            }
        }
        self.open_chunk(from)?;
        self.apply_state()?;
        if total > MAX_PINNED && 4 * self.buffer.bodies < total {
            self.gate.change_last(self.buffer.requests, Admitted::own_body);
            self.replies.own_bodies();
        }
        // Now, so that the responses that are not stored are always those of the last buffer.
        self.replies.store(self.link);
        if self.link.outbox().is_overflowing() {
            return Err(LinkError::OutboxOverflow);
        }
        Ok(self.buffer.pong)
    }

    /// Whether the work since the last yield exceeds the limit.
    fn is_busy(&self) -> bool {
        self.work >= MAX_WORK
    }

    pub(super) async fn yield_to_others(&mut self) {
        self.work = 0;
        self.send_refusals();
        tokio::task::yield_now().await;
    }

    /// Wakes the writer if requests were refused: once for many, because a node that is full refuses many.
    fn send_refusals(&mut self) {
        if mem::take(&mut self.buffer.refused) {
            self.link.wake_writer();
        }
    }

    /// Handles a frame, which is a slice of `frames`.
    #[inline(always)]
    fn on_frame(&mut self, frame: Frame<'_>, frames: &Bytes) -> Result<(), LinkError> {
        match frame {
            Frame::Void => {}
            Frame::Hello(_) | Frame::Seal(_) | Frame::Unsealed(_) => {
                return Err(Malformed::new("frame of a handshake").into());
            }
            Frame::Request(head, fields, body) => {
                self.work += fields.len() / BYTES_PER_FIELD_WORK;
                let fields = match fields {
                    [] => None,
                    fields => Some(Box::new(request_fields::decode(fields)?)),
                };
                self.on_request(head, fields, body, frames);
            }
            Frame::Reply { id, body: Body::Whole(body) } => {
                self.on_response(id, Response::Reply(whole(frames, body)), body.len());
            }
            Frame::Reply { id, body: Body::Chunked(size) } => {
                self.replies.on_long_reply(self.link, &self.buffers, id, size)
            }
            Frame::Status { id, status } => {
                self.on_response(id, Response::Status(frames.slice_ref(status)), status.len());
            }
            Frame::Chunk { of, id, bytes } => self.on_chunk(of, id, bytes, 0)?,
            Frame::Cancel { id } => self.on_cancel(id),
            Frame::Ping { stamp, received } => {
                if let Some(received) = received {
                    self.liveness.on_peer_received(received);
                }
                self.work += PING_WORK;
                let now = self.micros();
                self.gate.on_ping(now, stamp);
                let in_flight = self.handler.in_flight();
                frame::put_pong(stamp, now, in_flight, self.link.outbox().frames());
                self.link.wake_writer();
            }
            Frame::Pong { echo, stamp, in_flight } => self.on_pong(echo, stamp, in_flight),
            Frame::State(state) => self.buffer.state = Some(frames.slice_ref(state)),
            Frame::GoAway { reason } => {
                self.apply_state()?;
                self.link.on_go_away(reason);
            }
        }
        Ok(())
    }

    /// Applies the last state that the peer has announced in this buffer.
    fn apply_state(&mut self) -> Result<(), Malformed> {
        if let Some(state) = self.buffer.state.take() {
            self.work += STATE_WORK;
            self.link.on_state(State::decode(&state)?);
        }
        Ok(())
    }

    fn on_response(&mut self, id: RequestId, response: Response, bytes: usize) {
        self.buffer.bodies += bytes;
        self.replies.on_response(self.link, id, response);
    }

    fn on_pong(&mut self, echo: u64, stamp: u64, in_flight: Option<u64>) {
        if !self.link.outbox().pings().answer(echo) {
            return;
        }
        if let Some(in_flight) = in_flight {
            self.link.load().on_report(in_flight);
        }
        self.buffer.pong = true;
        self.gate.on_pong(self.micros(), echo, stamp);
        self.liveness.on_pong();
        if let Some(round_trip) = self.gate.round_trip() {
            self.link.on_round_trip(round_trip);
        }
    }

    #[inline]
    fn on_request(
        &mut self,
        head: RequestHead,
        fields: Option<Box<RequestFields>>,
        body: Body<'_>,
        frames: &Bytes,
    ) {
        self.work += REQUEST_WORK;
        self.gate.on_request(&head);
        let (caller, size) = (self.link.peer(), body.size());
        let permit = match self.handler.admit(caller, &self.peer, &head, fields.as_deref(), size) {
            Ok(permit) => permit,
            Err(status) => {
                self.link.queue_refusal(head.id, &status);
                self.buffer.refused = true;
                return;
            }
        };
        // Only a faulty peer repeats an id. The second request is ignored.
        let Some(request) = InboundRequest::begin(self.link, head.id) else { return };
        let admitted = Admitted {
            permit,
            request,
            attempt: u32::try_from(head.attempt).unwrap_or(u32::MAX),
            fields,
            body: Bytes::new(),
        };
        match body {
            Body::Whole(bytes) => {
                let body = whole(frames, bytes);
                self.buffer.requests += 1;
                self.buffer.bodies += body.len();
                self.gate.push(&head, Admitted { body, ..admitted });
            }
            Body::Chunked(size) => {
                let now = self.micros();
                let deadline = now.saturating_add(head.timeout);
                let body = PartialBody::new(size, self.buffers.take(size));
                self.requests.begin(head.id, body, deadline, (head, admitted));
                self.expiry.schedule_by(now, deadline);
            }
        }
    }

    /// Handles a part of a chunk. `rest` more bytes of the chunk follow.
    fn on_chunk(
        &mut self,
        of: BodyOf,
        id: RequestId,
        part: &[u8],
        rest: usize,
    ) -> Result<(), Malformed> {
        if of == BodyOf::Reply {
            return self.replies.on_chunk(self.link, &self.buffers, id, part, rest);
        }
        // Chunks of a request that was refused or canceled may still arrive.
        self.requests.put(id, part, rest)?;
        if let Some(((head, admitted), body)) = self.requests.take_complete(id) {
            let body = self.buffers.share(body);
            self.buffer.requests += 1;
            self.gate.push(&head, Admitted { body, ..admitted });
        }
        Ok(())
    }

    /// Begins a chunk, if most of it has not arrived yet.
    fn open_chunk(&mut self, from: &mut FrameReader) -> Result<(), Malformed> {
        let Some((ChunkStart { of, id, content, .. }, part)) = from.take_chunk_start() else {
            return Ok(());
        };
        let left = content - part.len();
        self.chunk = Some(OpenChunk { of, id, left, wanted: true, body: None });
        self.on_chunk(of, id, &part, left)
    }

    /// Handles a read that added `count` bytes to the body of the open chunk, if there is one.
    pub(super) fn on_chunk_received(
        &mut self,
        from: &mut FrameReader,
        count: usize,
    ) -> Result<(), LinkError> {
        let Some(chunk) = &mut self.chunk else { return Ok(()) };
        chunk.left -= count;
        // On a sealed link, a record may contain more of the chunk than the body had room for. A body that is no
        // longer wanted gets nothing.
        let part = from.take(chunk.left);
        chunk.left -= part.len();
        let &mut OpenChunk { of, id, left, wanted, .. } = chunk;
        if left == 0 {
            self.chunk = None;
        }
        if !wanted {
            return Ok(());
        }
        if of == BodyOf::Request {
            self.requests.on_progress(id);
        }
        if left == 0 || !part.is_empty() {
            self.on_chunk(of, id, &part, left)?;
        }
        Ok(())
    }

    fn on_cancel(&mut self, id: RequestId) {
        // A request that has not started is finished by dropping it. Otherwise, its handler must be
        // aborted.
        let is_canceled = |admitted: &Admitted<H::Permit>| admitted.request.id() == id;
        if self.gate.remove(is_canceled).is_none() && self.requests.remove(id).is_none() {
            self.link.on_cancel(id);
        }
    }
}

/// Returns a body that was not sent in chunks, which shares the memory of its `frames`. A long one is copied: only
/// a faulty peer sends it, and other code relies on long bodies having buffers of their own.
#[inline]
fn whole(frames: &Bytes, body: &[u8]) -> Bytes {
    if body.len() > INLINE_BODY_MAX { Bytes::copy_from_slice(body) } else { frames.slice_ref(body) }
}
