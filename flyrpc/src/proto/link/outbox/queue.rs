//! The queue of a link: frames in order, and long bodies, which are cut into chunks.
//!
//! Callers append frames under a short lock. The writer takes all queued frames at once, along with a
//! few chunks of the long bodies. Small calls therefore pass between the chunks.
//!
//! `may_have_executed` depends on whether the writer has taken a request. A request that is given up
//! before that is overwritten in place with a void frame, which the peer skips.
//!
//! Bytes that no caller waits for are not sent: the rest of a request that was given up or refused, and
//! replies that were canceled or whose deadline has passed.

use std::task::{Poll, Waker};

use crate::{
    codec::EncodedBody,
    proto::{
        link::{
            batch::Batch,
            bodies::{CHUNKS_PER_WRITE, Held, LongBodies, Removed, Rest},
            pings::SentPings,
            room::{Order, RoomQueue, Ticket},
        },
        wire::{
            frame::{self, Body, BodyOf, INLINE_BODY_MAX, RequestHead},
            ids::RequestId,
            status::Status,
        },
    },
};

/// While this many bytes of frames are queued, calls and replies wait before they append more.
const HIGH_WATER: usize = 256 << 10;

/// Upper bound on the bytes of queued long replies, except that a single reply may be larger. Long
/// requests have no such bound, because their callers hold the arguments anyway, and the shortest of
/// them goes first.
pub(super) const LONG_REPLIES: usize = 4 << 20;

/// If this many bytes are queued, the peer does not read. Only control frames are appended without
/// waiting, and while the peer reads, they never reach this size.
const OVERFLOW: usize = 2 << 20;

/// After a short request or reply, this many bytes of chunks are written one chunk at a time. Calls that
/// follow each other quickly then never wait for a long write, at either end. The other bodies are sent with
/// fewer system calls.
pub(super) const SINGLE_CHUNKS: usize = 1 << 20;

/// Upper bound on the capacity that an idle link retains, in bytes.
const IDLE: usize = 256;

/// The frames and long bodies that wait for the writer, and the tasks that wait for room.
#[derive(Debug)]
pub(crate) struct Outbox {
    frames: Vec<u8>,
    /// Total bytes of frames that the writer has taken.
    taken: u64,
    long: LongBodies,
    /// How many more bytes of chunks are written one chunk at a time.
    single_chunks: usize,
    /// A ping to send, with the number of bytes received that it reports.
    ping: Option<u64>,
    pings: SentPings,
    /// Whether the writer may still be writing the last batch.
    writing: bool,
    waiting_for_frames: RoomQueue,
    waiting_for_long_replies: RoomQueue,
}

/// What a task wants to append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// A request or a short reply, with this many bytes in frames.
    Frames(usize),
    /// A reply of this many bytes, which is sent in chunks.
    LongReply(usize),
}

impl Room {
    /// Returns the room that a reply of `bytes` bytes needs.
    pub(crate) fn of_reply(bytes: usize) -> Self {
        if bytes > INLINE_BODY_MAX { Room::LongReply(bytes) } else { Room::Frames(bytes) }
    }

    /// Returns the room that a request with a body of `bytes` bytes needs.
    pub(crate) fn of_request(bytes: usize) -> Self {
        Room::Frames(if bytes > INLINE_BODY_MAX { 0 } else { bytes })
    }
}

/// The position of a request's kind byte in the stream of frames, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset {
    at: u64,
}

impl Offset {
    /// Returns whether the kind byte is among the first `taken` bytes of frames.
    pub(crate) fn is_before(self, taken: u64) -> bool {
        self.at < taken
    }
}

/// How much of a request the writer had taken when it was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// The writer has taken no part of the request, and never will.
    Unsent,
    /// The writer has taken a part of the request, and will never take the rest. The request cannot
    /// start, and must be canceled.
    Partly,
    /// The writer has taken the whole request.
    Sent,
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox {
            frames: Vec::new(),
            taken: 0,
            long: LongBodies::default(),
            single_chunks: 0,
            ping: None,
            pings: SentPings::default(),
            writing: false,
            waiting_for_frames: RoomQueue::new(Order::OldestFirst),
            waiting_for_long_replies: RoomQueue::new(Order::NewestFirst),
        }
    }
}

impl Outbox {
    /// Returns whether a task may append `of` now without overtaking a task that waits for room.
    #[inline]
    pub(crate) fn has_room(&self, of: Room) -> bool {
        let queue = self.queue(of);
        queue.is_empty() && self.fits(of, queue.granted_bytes())
    }

    /// Returns whether calls have to wait: there is no room for their frames, or others wait for it.
    #[inline]
    pub(crate) fn is_congested(&self) -> bool {
        self.frames.len() >= HIGH_WATER || !self.waiting_for_frames.is_empty()
    }

    /// Adds the task of `waker` to the queue for room.
    pub(crate) fn join(&mut self, of: Room, waker: &Waker) -> Ticket {
        let (Room::Frames(bytes) | Room::LongReply(bytes)) = of;
        self.queue_mut(of).join(bytes, waker)
    }

    /// Returns `Ready` if a waiting task was granted its room. Otherwise, stores `waker`.
    pub(crate) fn poll_room(&mut self, of: Room, ticket: Ticket, waker: &Waker) -> Poll<()> {
        self.queue_mut(of).poll(ticket, waker)
    }

    /// Removes a task from its queue. Returns whether it was granted room, and may now append.
    pub(crate) fn leave(&mut self, of: Room, ticket: Ticket) -> bool {
        self.queue_mut(of).leave(ticket)
    }

    /// Grants the available room to the tasks that wait for it, and adds their wakers to `wake`. Must be
    /// called after anything was taken or removed, and after a task has left its queue.
    pub(crate) fn grant_room(&mut self, wake: &mut Vec<Waker>) {
        if !self.waiting_for_frames.is_empty() {
            let queued = self.frames.len();
            let fits = |granted, bytes| fits_frames(queued, granted, bytes);
            self.waiting_for_frames.grant(fits, wake);
        }
        if !self.waiting_for_long_replies.is_empty() {
            let queued = self.queued_reply_bytes();
            let fits = |granted, bytes| fits_long_replies(queued, granted, bytes);
            self.waiting_for_long_replies.grant(fits, wake);
        }
    }

    /// Adds the wakers of all tasks that wait for room to `wake`, without granting them any.
    pub(crate) fn wake_waiting(&self, wake: &mut Vec<Waker>) {
        self.waiting_for_frames.wake_all(wake);
        self.waiting_for_long_replies.wake_all(wake);
    }

    /// Returns whether so much is queued that the peer must have stopped reading.
    pub(crate) fn is_overflowing(&mut self) -> bool {
        if self.frames.len() > HIGH_WATER && self.frames.capacity() < OVERFLOW {
            // Otherwise, the buffer would be copied each time it is full, which takes up to a millisecond.
            self.frames.reserve_exact(OVERFLOW - self.frames.len());
        }
        self.frames.len() >= OVERFLOW
    }

    /// Returns the bytes of long replies that are queued.
    pub(crate) fn queued_reply_bytes(&self) -> usize {
        self.long.reply_bytes()
    }

    /// Returns the bytes that are queued: of frames, and of long bodies.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.frames.len() + self.long.bytes()
    }

    /// Returns whether nothing is queued.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.long.is_empty() && self.ping.is_none()
    }

    /// Returns whether everything that was appended has also been written.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_empty() && !self.writing
    }

    /// Returns the buffer to which control frames are appended.
    pub(crate) fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.frames
    }

    /// Sends a ping, which reports the number of bytes received so far. The writer stamps the ping when
    /// it takes it, because a stamp would age in the queue.
    pub(crate) fn ping(&mut self, received: u64) {
        self.ping = Some(received);
    }

    /// Returns the pings that wait for their pongs.
    pub(crate) fn pings(&mut self) -> &mut SentPings {
        &mut self.pings
    }

    /// Appends a request with its encoded fields and its body. A long body is moved out of `body`.
    #[inline(always)]
    pub(crate) fn request(
        &mut self,
        head: &RequestHead,
        fields: &[u8],
        body: &mut EncodedBody,
    ) -> Offset {
        let offset = match body.contiguous() {
            Some(body) if body.len() <= INLINE_BODY_MAX => {
                self.single_chunks = SINGLE_CHUNKS;
                frame::put_request(head, fields, Body::Whole(body), &mut self.frames)
            }
            _ => {
                let announced = Body::Chunked(body.len() as u64);
                let offset = frame::put_request(head, fields, announced, &mut self.frames);
                self.long.add_request(head.id, Rest::new(body.take_parts()));
                offset
            }
        };
        Offset { at: self.taken + offset as u64 }
    }

    /// Appends a short reply.
    #[inline(always)]
    pub(crate) fn reply(&mut self, id: RequestId, body: &[u8]) {
        debug_assert!(body.len() <= INLINE_BODY_MAX);
        self.single_chunks = SINGLE_CHUNKS;
        frame::put_reply(id, Body::Whole(body), &mut self.frames);
    }

    /// Appends a reply that is sent in chunks, until `deadline`, in microseconds on this end's clock.
    /// `held` is dropped once the reply has been written or can no longer be written.
    pub(crate) fn long_reply(
        &mut self,
        id: RequestId,
        body: &mut EncodedBody,
        deadline: u64,
        held: Held,
    ) {
        self.long.add_reply(id, Rest::new(body.take_parts()), deadline, held);
    }

    /// Drops the part of a request that the writer has not taken. Returns how much the writer had taken.
    pub(crate) fn give_up(&mut self, id: RequestId, offset: Offset) -> GivenUp {
        let body = self.long.remove(BodyOf::Request, id);
        if !offset.is_before(self.taken) {
            self.frames[(offset.at - self.taken) as usize] = frame::VOID;
            return GivenUp::Unsent;
        }
        match body {
            Some(_) => GivenUp::Partly,
            None => GivenUp::Sent,
        }
    }

    /// Returns whether the writer has taken a whole request.
    pub(crate) fn has_taken(&self, id: RequestId, offset: Offset) -> bool {
        offset.is_before(self.taken) && !self.holds_body_of(id)
    }

    /// Drops the rest of a request's long body, because the peer has responded without it. The peer
    /// no longer expects the rest.
    pub(crate) fn drop_body_of(&mut self, id: RequestId) {
        self.long.remove(BodyOf::Request, id);
    }

    /// Returns whether a part of a request's long body still waits for the writer. The peer cannot start
    /// such a request.
    pub(crate) fn holds_body_of(&self, id: RequestId) -> bool {
        self.long.contains(BodyOf::Request, id)
    }

    /// Drops the rest of a long reply whose caller no longer waits for it. Returns the value held for
    /// the reply.
    pub(crate) fn cancel_reply(&mut self, id: RequestId) -> Option<Held> {
        let removed = self.long.remove(BodyOf::Reply, id)?;
        self.end_partial_reply(removed)
    }

    /// Drops all long replies, because the link has ended. Returns the values held for them.
    pub(crate) fn drop_replies(&mut self) -> Vec<Held> {
        self.long.remove_replies()
    }

    /// Returns whether [`take`](Self::take) needs the time, for pings and deadlines.
    pub(crate) fn needs_time(&self) -> bool {
        self.ping.is_some() || !self.long.is_empty()
    }

    /// Moves the bytes to write next into `batch`: all queued frames, followed by chunks of at most
    /// `chunk_bytes` in total. `batch` must be empty, and the previous batch must have been written.
    /// `now` is in microseconds on this end's clock. If it is `None`, only the frames are taken. Returns
    /// the number of bytes of frames, excluding chunks.
    pub(crate) fn take(&mut self, batch: &mut Batch, chunk_bytes: usize, now: Option<u64>) -> u64 {
        if let Some(now) = now {
            self.expire(now, batch);
            if let Some(received) = self.ping.take() {
                frame::put_ping(now, received, &mut self.frames);
                self.pings.add(now);
            }
        }
        let frames = self.frames.len() as u64;
        self.taken += frames;
        batch.take_frames(&mut self.frames);
        if now.is_some() {
            self.take_chunks(batch, chunk_bytes);
        }
        self.writing = !batch.is_empty();
        frames
    }

    /// Frees unused memory, except the capacity that pings need.
    pub(crate) fn shrink(&mut self) {
        if self.frames.is_empty() && self.frames.capacity() > IDLE {
            self.frames = Vec::new();
        }
        self.long.shrink();
        self.pings.shrink();
    }

    fn take_chunks(&mut self, batch: &mut Batch, chunk_bytes: usize) {
        let chunks = if self.single_chunks > 0 { 1 } else { CHUNKS_PER_WRITE };
        let mut left = chunk_bytes;
        for _ in 0..chunks {
            if left == 0 {
                return;
            }
            let Some(chunk) = self.long.take_chunk(left) else { return };
            let bytes = chunk.prefix.len() + chunk.bytes.len();
            left -= bytes;
            self.single_chunks = self.single_chunks.saturating_sub(bytes);
            batch.add_chunk(chunk);
        }
    }

    /// Drops the replies whose deadlines have passed.
    fn expire(&mut self, now: u64, batch: &mut Batch) {
        while let Some(removed) = self.long.remove_expired(now) {
            // The clock of the link may be slightly ahead of the caller's, so the caller may still
            // wait.
            frame::put_status(removed.id, &Status::TimedOut.encode(), &mut self.frames);
            batch.hold(removed.held);
        }
    }

    /// Makes the peer drop the part of a reply that it has received. Any response ends a reply in
    /// chunks.
    fn end_partial_reply(&mut self, removed: Removed) -> Option<Held> {
        if removed.started {
            frame::put_status(removed.id, &Status::TimedOut.encode(), &mut self.frames);
        }
        removed.held
    }

    fn fits(&self, of: Room, granted: usize) -> bool {
        match of {
            Room::Frames(bytes) => fits_frames(self.frames.len(), granted, bytes),
            Room::LongReply(bytes) => fits_long_replies(self.long.reply_bytes(), granted, bytes),
        }
    }

    fn queue(&self, of: Room) -> &RoomQueue {
        match of {
            Room::Frames(_) => &self.waiting_for_frames,
            Room::LongReply(_) => &self.waiting_for_long_replies,
        }
    }

    fn queue_mut(&mut self, of: Room) -> &mut RoomQueue {
        match of {
            Room::Frames(_) => &mut self.waiting_for_frames,
            Room::LongReply(_) => &mut self.waiting_for_long_replies,
        }
    }
}

/// The last frame may exceed the limit, so its size is irrelevant.
fn fits_frames(queued: usize, granted: usize, _: usize) -> bool {
    queued + granted < HIGH_WATER
}

/// One reply fits regardless of its size.
fn fits_long_replies(queued: usize, granted: usize, bytes: usize) -> bool {
    queued + granted == 0 || queued + granted + bytes <= LONG_REPLIES
}
