//! The task that reads a link: takes frames apart, completes calls, starts requests, keeps the
//! clock, and notices when the peer falls silent.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::Waker,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, Interval, MissedTickBehavior},
};

use super::{
    Incoming, Link, LinkError, LinkEventKind, QUIET_HEARTBEATS, SILENT_HEARTBEATS, Serve, THEIRS,
    lock, pending::Response,
};
use crate::proto::link::clock::{LinkClock, Verdict};
use crate::{
    codec::bytes::Malformed,
    env::yield_once,
    proto::wire::{
        frame::{self, Body, BodyOf, Frame, GoAway, RequestHead},
        hello::State,
        ids::RequestId,
        status::Status,
    },
};

/// How much is read at once, at most, while there is much to read.
const READ: usize = 256 << 10;

/// More than any socket buffers. A peer that goes on sending does not hold up what may start by that.
const BACKLOG: usize = 64 << 20;

/// As much as sockets buffer by default. What may start does not wait until more than that is read.
const BUFFERED: usize = 8 << 20;

/// After how many reads in a row other tasks have their turn.
const YIELD_EVERY_READS: usize = 16;

/// How many times as large as what has come of a body the buffer for it may be.
const GROWTH: usize = 16;

/// After how many answers those who waited for them have their turn.
const YIELD_EVERY_RESPONSES: usize = 16;

/// How often a request from the future is held: once should be enough for an honest one.
const MAX_AHEAD: u32 = 4;

/// A peer that answers no ping for so many heartbeats, and for so long, is given up.
const UNANSWERED_HEARTBEATS: u32 = 2 * SILENT_HEARTBEATS;
const UNANSWERED: Duration = Duration::from_secs(2);

/// How much an idle link is ready to read.
const IDLE_READ: usize = 2 << 10;

/// How long the last replies of a link may take to arrive, at most.
const LINGER: Duration = Duration::from_secs(60);

type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// Reads until the link ends.
pub(super) async fn run<S: Serve>(
    link: Arc<Link>,
    mut from: Reader,
    leftover: BytesMut,
    clock: LinkClock,
    serve: Arc<S>,
    heartbeat: Duration,
) {
    let mut ticks = tokio::time::interval_at(Instant::now() + heartbeat, heartbeat);
    // A process that stood still must not conclude from its late ticks that the peer was silent.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reading = Reading {
        link: &link,
        serve: &serve,
        buffer: leftover,
        busy: false,
        clock,
        heartbeat,
        held: VecDeque::new(),
        ready: VecDeque::new(),
        stamp: 0,
        unanswered: 0,
        requests: BTreeMap::new(),
        replies: BTreeMap::new(),
        answers: VecDeque::new(),
        wakers: Vec::new(),
    };
    let error = match reading.until_end(&mut from, &mut ticks).await {
        Ok(()) => LinkError::Closed,
        Err(error) => error,
    };
    reading.hand_over().await;
    drop(reading);
    link.finish(error);
    if matches!(link.error(), Some(LinkError::Retired)) {
        // In a box: no other link should keep room for it.
        Box::pin(linger(&mut from, heartbeat)).await;
    }
    link.announce(LinkEventKind::Ended(link.error().unwrap_or(LinkError::Closed)));
}

/// Waits until the peer has closed its end, too, unless it is silent. Were the connection closed
/// before, the peer's next ping would be answered with a reset, and what is still on its way there
/// would be lost.
async fn linger(from: &mut Reader, heartbeat: Duration) {
    let mut unheeded = [0; 1024];
    let until_closed = async {
        loop {
            match tokio::time::timeout(heartbeat * SILENT_HEARTBEATS, from.read(&mut unheeded))
                .await
            {
                Ok(Ok(count)) if count > 0 => {}
                _ => return,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, until_closed).await;
}

struct Reading<'a, S: Serve> {
    link: &'a Arc<Link>,
    serve: &'a Arc<S>,
    buffer: BytesMut,
    /// Whether the last read took all that there was room for.
    busy: bool,
    clock: LinkClock,
    heartbeat: Duration,
    /// Requests that wait until the clocks are known again.
    held: VecDeque<Admitted<S>>,
    /// Requests that are complete, until what was buffered behind them is read: a cancellation, or
    /// the news that this clock stood still.
    ready: VecDeque<Admitted<S>>,
    /// The latest stamp of the requests that came since requests were started last, those included
    /// that were refused or cancelled.
    stamp: u64,
    /// How many heartbeats went by since the last pong.
    unanswered: u32,
    /// Requests whose bodies are not complete yet.
    requests: BTreeMap<RequestId, (Admitted<S>, Partial)>,
    /// Replies whose bodies are not complete yet.
    replies: BTreeMap<RequestId, Partial>,
    /// Answers that are complete, until they are handed over.
    answers: VecDeque<(RequestId, Response)>,
    /// Empty, but for when answers are handed over.
    wakers: Vec<Waker>,
}

struct Admitted<S: Serve> {
    admission: S::Admission,
    head: RequestHead,
    body: Bytes,
    /// How often it was found to come from the future.
    ahead: u32,
}

/// A body that comes in chunks. It grows as they come, whatever size was announced.
struct Partial {
    bytes: Vec<u8>,
    size: u64,
}

impl Partial {
    fn new(size: u64) -> Self {
        Partial { bytes: Vec::new(), size }
    }

    /// Takes in a chunk, and tells whether the body is complete.
    fn push(&mut self, chunk: &[u8]) -> Result<bool, Malformed> {
        if (self.bytes.len() + chunk.len()) as u64 > self.size {
            return Err(Malformed::new("chunk beyond the announced size"));
        }
        if self.bytes.capacity() - self.bytes.len() < chunk.len() {
            // Seldom, for what is there is copied; but not all at once for a size that was only said.
            let warranted = GROWTH * (self.bytes.len() + chunk.len());
            let room = usize::try_from(self.size).unwrap_or(usize::MAX).min(warranted);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(self.bytes.len() as u64 == self.size)
    }
}

impl<S: Serve> Reading<'_, S> {
    async fn until_end(
        &mut self,
        from: &mut Reader,
        ticks: &mut Interval,
    ) -> Result<(), LinkError> {
        self.frames()?;
        self.settle().await?;
        // One registration for many reads, rather than one for each.
        let mut ended = pin!(self.link.end.cancelled());
        loop {
            self.make_room();
            let room = self.buffer.capacity() - self.buffer.len();
            let count = tokio::select! {
                biased;
                () = &mut ended => return Ok(()),
                _ = ticks.tick() => {
                    self.tick()?;
                    continue;
                }
                count = from.read_buf(&mut self.buffer) => count.map_err(broken)?,
            };
            self.received(count)?;
            let mut pong = self.frames()?;
            // What did not fill the buffer was all that there is to read.
            if pong || count == room {
                pong = self.catch_up(from, pong).await?;
            }
            if pong {
                self.release()?;
            }
            self.settle().await?;
        }
    }

    /// Starts what is complete, and hands answers over.
    async fn settle(&mut self) -> Result<(), Malformed> {
        self.start_ready()?;
        self.hand_over().await;
        Ok(())
    }

    /// Hands answers to those who wait for them.
    async fn hand_over(&mut self) {
        while !self.answers.is_empty() {
            let some = self.answers.len().min(YIELD_EVERY_RESPONSES);
            {
                let mut calls = lock(&self.link.calls);
                let answers = self.answers.drain(..some);
                self.wakers.extend(answers.filter_map(|(id, answer)| calls.answered(id, answer)));
            }
            self.wakers.drain(..).for_each(Waker::wake);
            if !self.answers.is_empty() {
                // Those may call again, and what they send go out, while the next are woken.
                yield_once().await;
            }
        }
    }

    fn make_room(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > READ {
            self.buffer = BytesMut::new();
        }
        let spare = self.buffer.capacity() - self.buffer.len();
        let (least, room) = if self.busy { (READ / 2, READ) } else { (IDLE_READ / 2, IDLE_READ) };
        if spare < least {
            self.buffer.reserve(room);
        }
    }

    /// Before anything starts comes all that can be read already, cancellations and resets
    /// included; after a fresh `pong` what was held may start, too. Tells whether a pong was there.
    async fn catch_up(&mut self, from: &mut Reader, mut pong: bool) -> Result<bool, LinkError> {
        let mut total = 0;
        let mut reads = 0;
        loop {
            let most = if pong && !self.held.is_empty() {
                BACKLOG
            } else if !self.ready.is_empty() {
                BUFFERED
            } else {
                0
            };
            if total >= most {
                break;
            }
            let Some(count) = self.read_now(from) else { break };
            let count = count.map_err(broken)?;
            total += count;
            reads += 1;
            self.received(count)?;
            pong |= self.frames()?;
            if reads % YIELD_EVERY_READS == 0 {
                tokio::task::yield_now().await;
                if self.link.end.is_cancelled() {
                    break;
                }
            }
        }
        Ok(pong)
    }

    /// Reads what is there, without waiting.
    fn read_now(&mut self, from: &mut Reader) -> Option<io::Result<usize>> {
        self.make_room();
        tokio::task::unconstrained(from.read_buf(&mut self.buffer)).now_or_never()
    }

    fn received(&mut self, count: usize) -> Result<(), LinkError> {
        if count == 0 {
            // The other end may find first that there is nothing left to do.
            let over = self.link.has_no_calls();
            return Err(if over { LinkError::Retired } else { LinkError::Closed });
        }
        self.busy = self.buffer.len() == self.buffer.capacity();
        if self.link.quiet_for.swap(0, Ordering::Relaxed) >= QUIET_HEARTBEATS {
            self.link.announce(LinkEventKind::QuietChanged);
        }
        Ok(())
    }

    /// One heartbeat: pings, and counts how many of them went by without a word.
    fn tick(&mut self) -> Result<(), LinkError> {
        if self.buffer.is_empty() {
            if self.buffer.capacity() > IDLE_READ {
                self.buffer = BytesMut::new();
            }
            let mut outbox = lock(&self.link.outbox);
            if outbox.is_empty() {
                outbox.shrink();
            }
        }
        let quiet_for = self.link.quiet_for.fetch_add(1, Ordering::Relaxed) + 1;
        if quiet_for > SILENT_HEARTBEATS {
            return Err(LinkError::HeartbeatTimeout(self.heartbeat));
        }
        if quiet_for == QUIET_HEARTBEATS {
            self.link.announce(LinkEventKind::QuietChanged);
        }
        // A peer that talks but never answers takes in nothing of what it is sent. Answers may be
        // long under way, so this is not measured in heartbeats alone.
        self.unanswered += 1;
        if self.unanswered > UNANSWERED_HEARTBEATS
            && self.heartbeat.saturating_mul(self.unanswered) > UNANSWERED
        {
            return Err(LinkError::PongTimeout(self.heartbeat.saturating_mul(self.unanswered)));
        }
        self.ping();
        Ok(())
    }

    fn ping(&self) {
        let stamp = self.link.clock_micros();
        self.link.post(|to| frame::put_ping(stamp, to));
    }

    /// Handles the complete frames in the buffer, and tells whether a pong was among them.
    fn frames(&mut self) -> Result<bool, LinkError> {
        let (complete, end) = frame::complete(&self.buffer);
        // What bodies are parts of, so that none is copied.
        let frames = self.buffer.split_to(complete).freeze();
        let mut pong = false;
        let mut done = 0;
        while let Some((frame, length)) = frame::split(&frames[done..])? {
            let frame = frame::decode(frame)?;
            pong |= matches!(frame, Frame::Pong { .. });
            self.frame(frame, &frames)?;
            done += length;
        }
        end?;
        if lock(&self.link.outbox).is_flooded() {
            return Err(LinkError::OutboxOverflow);
        }
        Ok(pong)
    }

    /// Handles a frame, which is a part of `frames`.
    fn frame(&mut self, frame: Frame<'_>, frames: &Bytes) -> Result<(), LinkError> {
        match frame {
            Frame::Void => {}
            Frame::Hello(_) => return Err(Malformed::new("second hello").into()),
            Frame::Request(head, body) => self.request(head, body, frames),
            Frame::Reply { id, body: Body::Whole(body) } => {
                self.answered(id, Response::Reply(frames.slice_ref(body)));
            }
            Frame::Reply { id, body: Body::Chunked(size) } => self.long_reply(id, size),
            Frame::Status { id, status } => {
                self.answered(id, Response::Status(frames.slice_ref(status)));
            }
            Frame::Chunk { of: BodyOf::Request, id, bytes } => self.request_chunk(id, bytes)?,
            Frame::Chunk { of: BodyOf::Reply, id, bytes } => self.reply_chunk(id, bytes)?,
            Frame::Cancel { id } => self.cancel(id),
            Frame::Ping { stamp } => {
                let now = self.link.clock_micros();
                self.clock.heard(now, stamp);
                self.link.post(|to| frame::put_pong(stamp, now, to));
            }
            Frame::Pong { echo, stamp } => self.pong(echo, stamp),
            Frame::State(state) => self.state(State::decode(state)?),
            Frame::GoAway { reason } => self.going_away(reason),
        }
        Ok(())
    }

    fn pong(&mut self, echo: u64, stamp: u64) {
        self.clock.pong(self.link.clock_micros(), echo, stamp);
        self.unanswered = 0;
        if let Some(round_trip) = self.clock.round_trip() {
            self.link.round_trip.store(round_trip, Ordering::Relaxed);
        }
    }

    fn state(&self, state: State) {
        if *self.link.state() != state {
            self.link.state.store(Arc::new(state));
            if !self.link.state_is_news.swap(true, Ordering::AcqRel) {
                self.link.announce(LinkEventKind::StateChanged);
            }
        }
    }

    fn going_away(&mut self, reason: GoAway) {
        let again = self.link.retired[THEIRS].swap(true, Ordering::AcqRel);
        let leaves = reason == GoAway::Leaving;
        let said_before = leaves && self.link.left.swap(true, Ordering::AcqRel);
        // Once for each reason there is, a second goodbye is news.
        if again && (!leaves || said_before) {
            return;
        }
        // Calls that wait for space must look for another link.
        self.link.space.notify_waiters();
        self.link.announce(LinkEventKind::GoAway(reason));
        self.link.retire(GoAway::Replaced);
    }

    fn request(&mut self, head: RequestHead, body: Body<'_>, frames: &Bytes) {
        self.stamp = self.stamp.max(head.stamp);
        let size = match body {
            Body::Whole(bytes) => bytes.len() as u64,
            Body::Chunked(size) => size,
        };
        // A repeated id is a faulty peer's; the second request is ignored.
        let Some(beside) = self.link.running(head.id) else { return };
        let admission = match self.serve.admit(&head, size, beside) {
            Ok(admission) => admission,
            Err(status) => {
                self.link.refuse(head.id, &status);
                self.link.ran(head.id);
                return;
            }
        };
        let mut admitted = Admitted { admission, head, body: Bytes::new(), ahead: 0 };
        match body {
            Body::Whole(bytes) => {
                admitted.body = frames.slice_ref(bytes);
                self.ready.push_back(admitted);
            }
            Body::Chunked(size) => {
                self.requests.insert(head.id, (admitted, Partial::new(size)));
            }
        }
    }

    fn request_chunk(&mut self, id: RequestId, chunk: &[u8]) -> Result<(), Malformed> {
        // Chunks of a request that was refused or cancelled may still arrive.
        let Some((_, partial)) = self.requests.get_mut(&id) else { return Ok(()) };
        if partial.push(chunk)?
            && let Some((mut admitted, partial)) = self.requests.remove(&id)
        {
            admitted.body = Bytes::from(partial.bytes);
            self.ready.push_back(admitted);
        }
        Ok(())
    }

    /// Starts requests, or holds them, or lets them go.
    fn start(&mut self, requests: VecDeque<Admitted<S>>) -> Result<(), Malformed> {
        let mut starting = Vec::with_capacity(requests.len());
        let now = self.link.env.now();
        self.clock.heard(self.link.micros_at(now), std::mem::take(&mut self.stamp));
        for mut request in requests {
            let Admitted { head, .. } = request;
            match self.clock.verdict(self.link.micros_at(now), head.stamp, head.timeout) {
                Verdict::Start { remaining } => {
                    let incoming = Incoming {
                        id: head.id,
                        attempt: u32::try_from(head.attempt).unwrap_or(u32::MAX),
                        // A peer may claim any time; no call needs more than a century.
                        deadline: now + Duration::from_micros(remaining).min(MAX_DURATION),
                        body: request.body,
                    };
                    starting.push((request.admission, incoming));
                }
                Verdict::Expired => {
                    self.link.refuse(head.id, &Status::Expired);
                    self.link.ran(head.id);
                }
                Verdict::Hold => self.hold(request),
                Verdict::Ahead if request.ahead < MAX_AHEAD => {
                    request.ahead += 1;
                    if !self.held.is_empty() {
                        // The ping that was sent for those tells nothing any more.
                        self.ping();
                    }
                    self.hold(request);
                }
                Verdict::Ahead => return Err(Malformed::new("request from the future")),
            }
        }
        if !starting.is_empty() {
            self.serve.start(self.link, starting);
        }
        Ok(())
    }

    fn hold(&mut self, request: Admitted<S>) {
        if self.held.is_empty() {
            self.ping();
        }
        self.held.push_back(request);
    }

    /// Starts what was held, as far as it is not held again.
    fn release(&mut self) -> Result<(), Malformed> {
        let held = std::mem::take(&mut self.held);
        self.start(held)
    }

    /// Starts what is complete, as far as it is not held.
    fn start_ready(&mut self) -> Result<(), Malformed> {
        if self.ready.is_empty() {
            return Ok(());
        }
        let ready = std::mem::take(&mut self.ready);
        self.start(ready)
    }

    fn cancel(&mut self, id: RequestId) {
        let waiting = [&mut self.held, &mut self.ready].into_iter().any(|queue| {
            let at = queue.iter().position(|request| request.head.id == id);
            at.and_then(|at| queue.remove(at)).is_some()
        }) || self.requests.remove(&id).is_some();
        if waiting {
            self.link.ran(id);
        } else {
            self.link.cancelled(id);
        }
    }

    fn answered(&mut self, id: RequestId, answer: Response) {
        self.replies.remove(&id);
        self.answers.push_back((id, answer));
    }

    fn long_reply(&mut self, id: RequestId, size: u64) {
        if !lock(&self.link.calls).expects(id) {
            return;
        }
        if size > self.link.limit(true) as u64 {
            return self.answered(id, Response::TooLarge(size));
        }
        self.replies.insert(id, Partial::new(size));
    }

    fn reply_chunk(&mut self, id: RequestId, chunk: &[u8]) -> Result<(), Malformed> {
        // Chunks of a reply that nobody waits for any more may still arrive.
        let Some(partial) = self.replies.get_mut(&id) else { return Ok(()) };
        if partial.push(chunk)?
            && let Some(partial) = self.replies.remove(&id)
        {
            self.answered(id, Response::Reply(Bytes::from(partial.bytes)));
        } else if !lock(&self.link.calls).expects(id) {
            self.replies.remove(&id);
        }
        Ok(())
    }
}

/// Longer than any call: what a peer's timeout is clamped to, so that adding it to a time is safe.
const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn broken(error: io::Error) -> LinkError {
    LinkError::Broken(Arc::new(error))
}

impl From<Malformed> for LinkError {
    fn from(malformed: Malformed) -> Self {
        LinkError::Malformed(malformed)
    }
}
