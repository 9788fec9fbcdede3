//! The task that reads a link: it decodes frames, completes calls, starts requests, responds to pings,
//! and detects a silent peer.

use std::{
    future::poll_fn,
    mem,
    pin::pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::{
    buffers::Buffers,
    event::LinkEvent,
    expiry::Expiry,
    handle::Link,
    replies::Replies,
    request::{Admitted, InboundRequest, RequestHandler, RequestPermit as _},
    transport::{FrameReader, Received},
};
use crate::{
    codec::bytes::Malformed,
    env::yield_once,
    proto::{
        link::{
            assembler::{Assembler, PartialBody},
            clock::LinkClock,
            gate::{DRAIN_BEFORE_RELEASE, Gate, Gated, Released},
            in_flight::Response,
            lifecycle::LinkError,
            liveness::{Liveness, SILENT_HEARTBEATS},
        },
        routing::Endpoint as _,
        wire::{
            frame::{self, Body, BodyOf, ChunkStart, Frame, INLINE_BODY_MAX, RequestHead, Rest},
            ids::RequestId,
            request_fields::{self, RequestFields},
            state::State,
            status::Status,
        },
    },
};

/// The reader yields after this much work. One unit is about 100 ns on current machines. A peer that sends
/// without a pause would otherwise occupy this thread, and other peers would wait. Work is counted rather
/// than timed, so that simulated runs are repeatable.
const MAX_WORK: usize = 256;

/// The bytes that are read from the socket with one unit of work.
const BYTES_PER_WORK: usize = 1024;

/// The bytes of fields that are decoded with one unit of work.
const BYTES_PER_FIELD_WORK: usize = 16;

/// The work for a frame of these kinds. For any other kind of frame, it is 1.
const REQUEST_WORK: usize = 8;
const PING_WORK: usize = 5;
const STATE_WORK: usize = 200;

/// The reader yields after it has started this many requests.
const START_TOGETHER: usize = 64;

/// Bodies may pin a buffer of frames of at least this many bytes only if they make up at least a quarter
/// of it. Otherwise, the bodies are copied.
const MAX_PINNED: usize = 16 << 10;

/// Reads until the link ends.
#[expect(
    clippy::manual_async_fn,
    reason = "the future of an async function contains its arguments twice"
)]
pub(super) fn run<H: RequestHandler>(
    link: Arc<Link>,
    mut from: FrameReader,
    clock: LinkClock,
    handler: Arc<H>,
    heartbeat: Duration,
) -> impl Future<Output = ()> {
    async move {
        let mut ticks = tokio::time::interval_at(Instant::now() + heartbeat, heartbeat);
        // A process that was suspended must not conclude from its late ticks that the peer was silent.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reader = Reader {
            link: &link,
            handler: &handler,
            gate: Gate::new(clock),
            liveness: Liveness::new(heartbeat),
            peer: handler.peer(link.peer()),
            requests: Assembler::default(),
            replies: Replies::default(),
            buffers: Buffers::default(),
            chunk: None,
            received: 0,
            expiry: Expiry::default(),
            buffer: BufferContents::default(),
            work: 0,
        };
        let ended = reader.until_ended(&mut from, &mut ticks).await;
        let error = ended.err().unwrap_or(LinkError::Closed);
        while let Some(requests) = reader.gate.take_some(START_TOGETHER) {
            drop(requests);
            tokio::task::yield_now().await;
        }
        reader.replies.complete_calls(&link).await;
        drop(reader);
        link.end(error);
        if matches!(link.error(), Some(LinkError::Drained)) {
            // Boxed, because this future would otherwise enlarge the task of every link.
            Box::pin(from.linger(heartbeat * SILENT_HEARTBEATS)).await;
        }
        link.announce(LinkEvent::Ended(link.error().unwrap_or(LinkError::Closed)));
    }
}

/// A chunk whose rest is read into the buffer of its body.
#[derive(Debug)]
struct OpenChunk {
    of: BodyOf,
    id: RequestId,
    /// The number of bytes that have not arrived.
    left: usize,
    /// Whether the body was still expected when the chunk was last read.
    wanted: bool,
}

/// Reads the available bytes: the rest of the open chunk, if there is one, or any frames.
fn poll_receive<T>(
    from: &mut FrameReader,
    chunk: &mut Option<OpenChunk>,
    requests: &mut Assembler<T>,
    link: &Link,
    task: &mut task::Context<'_>,
) -> Poll<Result<Received, LinkError>> {
    let Some(OpenChunk { of, id, left, wanted: wanted @ true }) = chunk else {
        return from.poll_read(task);
    };
    // The body is looked up for each read, because it may be dropped while the link waits for bytes.
    match of {
        BodyOf::Request => {
            if let Some(mut to) = requests.room(*id, *left) {
                return from.poll_read_into(&mut to, task);
            }
        }
        BodyOf::Reply => {
            let arriving = link.in_flight().take_arriving(*id);
            if let Some(mut reply) = arriving {
                let read = from.poll_read_into(&mut reply.room(*left), task);
                link.in_flight().put_arriving(*id, reply);
                return read;
            }
        }
    }
    *wanted = false;
    from.poll_read(task)
}

/// Like [`poll_receive`], without waiting. Returns `None` if the socket is empty.
fn try_receive<T>(
    from: &mut FrameReader,
    chunk: &mut Option<OpenChunk>,
    requests: &mut Assembler<T>,
    link: &Link,
) -> Option<Result<Received, LinkError>> {
    let receive = poll_fn(|task| poll_receive(from, chunk, requests, link, task));
    tokio::task::unconstrained(receive).now_or_never()
}

/// The state that the reader does not share with other tasks.
struct Reader<'a, H: RequestHandler> {
    link: &'a Arc<Link>,
    handler: &'a Arc<H>,
    /// The handler's state for the peer.
    peer: H::Peer,
    gate: Gate<Admitted<H::Permit>>,
    liveness: Liveness,
    /// Requests whose bodies are not complete yet.
    requests: Assembler<(RequestHead, Admitted<H::Permit>)>,
    replies: Replies,
    buffers: Buffers,
    chunk: Option<OpenChunk>,
    /// The bytes received so far.
    received: u64,
    /// When the next unstarted request expires.
    expiry: Expiry,
    /// The contents of the buffer that was last handled.
    buffer: BufferContents,
    /// The work since the reader last yielded or waited.
    work: usize,
}

/// What one buffer of frames contained.
#[derive(Debug, Default)]
struct BufferContents {
    /// The last state in the buffer that has not been applied yet. A peer that changes its state often
    /// costs this node only one change per buffer.
    state: Option<Bytes>,
    /// Whether a pong answered a ping.
    pong: bool,
    /// The number of requests that were passed to the gate.
    requests: usize,
    /// The total bytes of their bodies, and of the bodies of responses that are not chunked.
    bodies: usize,
    /// Whether requests were refused since the writer was last woken.
    refused: bool,
}

impl<H: RequestHandler> Reader<'_, H> {
    async fn until_ended(
        &mut self,
        from: &mut FrameReader,
        ticks: &mut Interval,
    ) -> Result<(), LinkError> {
        self.on_frames(from).await?;
        self.settle(u64::MAX).await?;
        // Registered once for many reads, rather than once per read.
        let mut ended = pin!(self.link.signals.end.cancelled());
        loop {
            let received = tokio::select! {
                biased;
                () = &mut ended => return Ok(()),
                _ = ticks.tick() => {
                    self.on_heartbeat(from)?;
                    continue;
                }
                () = self.expiry.due() => {
                    self.expire();
                    continue;
                }
                received = poll_fn(|task| {
                    let (chunk, requests) = (&mut self.chunk, &mut self.requests);
                    if self.gate.has_ready() {
                        // Once the socket is empty, they start.
                        let received = try_receive(from, chunk, requests, self.link);
                        return Poll::Ready(received.transpose());
                    }
                    poll_receive(from, chunk, requests, self.link, task).map_ok(Some)
                }) => received?,
            };
            let Some(received) = received else {
                self.work = 0;
                self.settle(u64::MAX).await?;
                continue;
            };
            if !received.more {
                // A read that does not fill the buffer empties the socket, so the next one waits.
                self.work = 0;
            }
            self.on_received(from, received)?;
            let pong = self.on_frames(from).await?;
            let mut is_empty = !received.more;
            if pong && self.gate.has_held() {
                is_empty = self.drain(from).await?;
                let now = self.link.now();
                let released = self.gate.release(self.link.micros_at(now))?;
                self.start(now, released).await;
            }
            if is_empty {
                self.settle(u64::MAX).await?;
            } else {
                self.gate.on_buffered(self.received, || from.readable());
                self.settle(self.received - from.unopened() as u64).await?;
            }
        }
    }

    /// Reads everything that is already buffered, including cancellations and resets, before held requests
    /// are released. Returns whether the socket is empty.
    async fn drain(&mut self, from: &mut FrameReader) -> Result<bool, LinkError> {
        let end = self.received + DRAIN_BEFORE_RELEASE;
        while self.received < end && !self.link.signals.end.is_cancelled() {
            let received = try_receive(from, &mut self.chunk, &mut self.requests, self.link);
            let Some(received) = received else { return Ok(true) };
            self.on_received(from, received?)?;
            self.on_frames(from).await?;
        }
        Ok(false)
    }

    /// Starts the complete requests that may start once `received` bytes have been received, and completes
    /// calls.
    async fn settle(&mut self, received: u64) -> Result<(), Malformed> {
        let mut has_woken = false;
        if self.gate.may_open(received) {
            let now = self.link.now();
            // Held requests wait for the peer, so they must not pin buffers.
            let hold = |admitted: &mut Admitted<H::Permit>| {
                admitted.own_body();
                admitted.permit.hold();
            };
            let released = self.gate.open(self.link.micros_at(now), received, hold)?;
            has_woken = !released.start.is_empty();
            self.start(now, released).await;
            if self.gate.has_held() {
                self.schedule_expiry();
            }
        }
        has_woken |= self.replies.complete_calls(self.link).await;
        if has_woken && received < u64::MAX {
            // More bytes are available. Handling them must not delay the tasks that are ready now, which no
            // other thread may be able to take from this one.
            yield_once().await;
        }
        Ok(())
    }

    /// Starts the requests that the gate released, and refuses those that expired.
    async fn start(&mut self, now: Instant, released: Released<Admitted<H::Permit>>) {
        let Released { start, expired, needs_ping } = released;
        if needs_ping {
            self.ping();
        }
        expired.into_iter().for_each(|admitted| admitted.request.refuse(Status::Expired));
        if start.is_empty() {
            return;
        }
        if self.together(&start) >= start.len() {
            return self.handler.start(self.link, now, start);
        }
        // Boxed, because this future would otherwise enlarge the task of every link.
        Box::pin(self.start_some_at_a_time(now, start)).await;
    }

    /// Starts requests in several turns, because those of other peers must not wait until all of these have run.
    async fn start_some_at_a_time(&self, now: Instant, start: Vec<Gated<Admitted<H::Permit>>>) {
        let mut start = start.into_iter();
        while !start.as_slice().is_empty() {
            if self.link.has_ended() {
                start.by_ref().take(START_TOGETHER).for_each(drop);
            } else {
                let count = self.together(start.as_slice());
                self.handler.start(self.link, now, start.by_ref().take(count).collect());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Returns how many of these requests to start before the reader yields.
    fn together(&self, start: &[Gated<Admitted<H::Permit>>]) -> usize {
        self.handler.start_together(&start[..start.len().min(START_TOGETHER)]).max(1)
    }

    fn on_received(&mut self, from: &mut FrameReader, received: Received) -> Result<(), LinkError> {
        if received.is_end() {
            // The peer may be the first to find that nothing is left to do, and close the
            // connection.
            let drained = self.link.waits_for_nothing();
            return Err(if drained { LinkError::Drained } else { LinkError::Closed });
        }
        self.received += received.count as u64;
        if self.link.is_idle() && !from.is_idle() {
            self.link.set_idle(false);
        }
        self.work += received.count / BYTES_PER_WORK + received.records;
        if let Some(change) = self.liveness.on_received(received.count) {
            self.link.on_quiet_change(change);
        }
        self.on_chunk_received(from, received.of_body)
    }

    fn on_heartbeat(&mut self, from: &mut FrameReader) -> Result<(), LinkError> {
        if from.is_empty() {
            let is_idle = self.liveness.is_idle();
            from.shrink(is_idle);
            self.link.set_idle(is_idle);
            self.link.in_flight().shrink();
            self.link.inbound().shrink();
            self.handler.shrink();
            let mut outbox = self.link.outbox();
            if outbox.is_empty() {
                outbox.shrink();
            }
        }
        self.buffers.on_heartbeat();
        self.gate.on_heartbeat(self.micros());
        if self.link.take_write_progress() {
            self.liveness.on_write_progress();
        }
        if let Some(change) = self.liveness.on_heartbeat()? {
            self.link.on_quiet_change(change);
        }
        if self.handler.is_draining() {
            // A drain waits for bodies that still arrive, but not for bodies that have stalled.
            let stalled = self.requests.take_stalled().into_iter();
            stalled.for_each(|(_, admitted)| admitted.request.refuse(Status::Draining));
        }
        self.ping();
        Ok(())
    }

    fn ping(&self) {
        self.link.outbox().ping(self.received);
        self.link.wake_writer();
    }

    /// Refuses the requests that their callers have given up before they could start, because the rest
    /// of a request never arrived or the peer answered no ping.
    fn expire(&mut self) {
        let now = self.micros();
        let incomplete = self.requests.take_expired(now).into_iter().map(|(_, admitted)| admitted);
        let expired = incomplete.chain(self.gate.take_expired(now));
        expired.for_each(|admitted| admitted.request.refuse(Status::Expired));
        self.schedule_expiry();
    }

    fn schedule_expiry(&mut self) {
        let next = self.requests.next_deadline().into_iter().chain(self.gate.next_deadline()).min();
        self.expiry.schedule(self.micros(), next);
    }

    fn micros(&self) -> u64 {
        self.link.micros_at(self.link.now())
    }

    /// Handles the complete frames in the buffer. Returns whether one of them was a pong that answers a
    /// ping.
    async fn on_frames(&mut self, from: &mut FrameReader) -> Result<bool, LinkError> {
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

    async fn yield_to_others(&mut self) {
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
        self.chunk = Some(OpenChunk { of, id, left, wanted: true });
        self.on_chunk(of, id, &part, left)
    }

    /// Handles a read that added `count` bytes to the body of the open chunk, if there is one.
    fn on_chunk_received(&mut self, from: &mut FrameReader, count: usize) -> Result<(), LinkError> {
        let Some(chunk) = &mut self.chunk else { return Ok(()) };
        chunk.left -= count;
        // On a sealed link, a record may contain more of the chunk than the body had room for. A body that is no
        // longer wanted gets nothing.
        let part = from.take(chunk.left);
        chunk.left -= part.len();
        let &mut OpenChunk { of, id, left, wanted } = chunk;
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
