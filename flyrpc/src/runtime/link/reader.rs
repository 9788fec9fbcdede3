//! The task that reads a link: it decodes frames, completes calls, starts requests, responds to pings,
//! and detects a silent peer.

mod frames;

use std::{
    future::poll_fn,
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
    request::{Admitted, RequestHandler, RequestPermit as _},
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
            lifecycle::LinkError,
            liveness::{Liveness, SILENT_HEARTBEATS},
        },
        wire::{
            frame::{BodyOf, RequestHead},
            ids::RequestId,
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
    /// Whether the body was still expected when the chunk was last read and no record was in the body.
    wanted: bool,
    /// Holds the body while a record is read into it, even if the body is no longer expected: the record must still be
    /// opened. The bytes before the record are freed at the next read.
    body: Option<PartialBody>,
}

impl OpenChunk {
    /// Takes the body, so that bytes can be put into it. Returns `None` if it is no longer expected, and no record is in it.
    fn take_body<T>(&mut self, requests: &mut Assembler<T>, link: &Link) -> Option<PartialBody> {
        if self.body.is_some() {
            return self.body.take();
        }
        match self.of {
            BodyOf::Request => requests.take_body(self.id),
            BodyOf::Reply => link.in_flight().take_arriving(self.id),
        }
    }

    /// Puts the body back, or drops it if it is no longer expected.
    fn put_body<T>(&self, body: PartialBody, requests: &mut Assembler<T>, link: &Link) {
        match self.of {
            BodyOf::Request => requests.put_body(self.id, body),
            BodyOf::Reply => link.in_flight().put_arriving(self.id, body),
        }
    }

    /// Whether the body is still expected.
    fn is_expected<T>(&self, requests: &Assembler<T>, link: &Link) -> bool {
        match self.of {
            BodyOf::Request => requests.expects(self.id),
            BodyOf::Reply => link.in_flight().expects(self.id),
        }
    }
}

/// Reads the available bytes: the rest of the open chunk, if there is one, or any frames.
fn poll_receive<T>(
    from: &mut FrameReader,
    chunk: &mut Option<OpenChunk>,
    requests: &mut Assembler<T>,
    link: &Link,
    task: &mut task::Context<'_>,
) -> Poll<Result<Received, LinkError>> {
    let Some(chunk) = chunk.as_mut().filter(|chunk| chunk.wanted) else {
        return from.poll_read(task);
    };
    // The body is looked up for each read, because it may be dropped while the link waits for bytes.
    let Some(mut body) = chunk.take_body(requests, link) else {
        chunk.wanted = false;
        return from.poll_read(task);
    };
    let read = from.poll_read_into(&mut body, chunk.left, task);
    if from.is_in_body() {
        if !chunk.is_expected(requests, link) {
            from.discard_before(&mut body);
        }
        chunk.body = Some(body);
    } else {
        chunk.put_body(body, requests, link);
    }
    read
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
}
