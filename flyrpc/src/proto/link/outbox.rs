//! The queue of a link: frames in order, and long bodies, which are cut into chunks.
//!
//! Callers append frames under a short lock. The writer takes all queued frames at once, and a few
//! chunks of the long bodies with them, so that small calls pass between the chunks.
//!
//! `may_have_executed` depends on whether the writer has taken a request. A request that is given up
//! before that is overwritten in place with a void frame, which the peer skips.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    batch::{Batch, CHUNKS_PER_WRITE},
    pings::SentPings,
};
use crate::proto::wire::{
    frame::{self, Body, BodyOf, CHUNK, INLINE_BODY_MAX, RequestHead},
    ids::RequestId,
};

/// With this many bytes queued, calls and replies wait before they append more.
const HIGH_WATER: usize = 256 << 10;

/// With this many bytes queued, the peer does not read. Only control frames are appended without
/// waiting, and they do not add up to this size while the peer reads.
const OVERFLOW: usize = 8 << 20;

/// One in this many chunks belongs to the oldest body.
const OLDEST_EVERY: u32 = 4;

/// Upper bound on the capacity that an idle link retains, in bytes.
const IDLE: usize = 256;

/// The frames and long bodies that wait for the writer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: Vec<u8>,
    /// Total bytes of frames that the writer has taken.
    taken: u64,
    /// In the order in which they were appended.
    long: VecDeque<LongBody>,
    /// The number of chunks taken, modulo [`OLDEST_EVERY`].
    chunk_count: u32,
    /// Whether the writer may still be writing the last batch.
    writing: bool,
    pings: SentPings,
}

#[derive(Debug)]
struct LongBody {
    of: BodyOf,
    id: RequestId,
    rest: Bytes,
    started: bool,
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

impl Outbox {
    /// Returns whether callers should wait before they append more.
    pub(crate) fn is_full(&self) -> bool {
        self.frames.len() >= HIGH_WATER
    }

    /// Returns whether so much is queued that the peer must have stopped reading.
    pub(crate) fn is_overflowing(&self) -> bool {
        self.frames.len() >= OVERFLOW
    }

    /// Returns whether nothing is queued.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.long.is_empty()
    }

    /// Returns whether everything that was appended has also been written.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_empty() && !self.writing
    }

    /// Returns the buffer to which control frames are appended.
    pub(crate) fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.frames
    }

    /// Appends a ping that carries `stamp`.
    pub(crate) fn ping(&mut self, stamp: u64) {
        frame::put_ping(stamp, &mut self.frames);
        self.pings.add(stamp);
    }

    /// Returns the pings that wait for their pongs.
    pub(crate) fn pings(&mut self) -> &mut SentPings {
        &mut self.pings
    }

    /// Appends a request and its body. A long body is moved out of `body`.
    pub(crate) fn request(&mut self, head: &RequestHead, body: &mut Vec<u8>) -> Offset {
        let offset = if body.len() > INLINE_BODY_MAX {
            let offset =
                frame::put_request(head, Body::Chunked(body.len() as u64), &mut self.frames);
            self.long(BodyOf::Request, head.id, Bytes::from(std::mem::take(body)));
            offset
        } else {
            frame::put_request(head, Body::Whole(body), &mut self.frames)
        };
        Offset { at: self.taken + offset as u64 }
    }

    /// Appends a reply.
    pub(crate) fn reply(&mut self, id: RequestId, body: Vec<u8>) {
        if body.len() > INLINE_BODY_MAX {
            frame::put_reply(id, Body::Chunked(body.len() as u64), &mut self.frames);
            self.long(BodyOf::Reply, id, Bytes::from(body));
        } else {
            frame::put_reply(id, Body::Whole(&body), &mut self.frames);
        }
    }

    fn long(&mut self, of: BodyOf, id: RequestId, rest: Bytes) {
        self.long.push_back(LongBody { of, id, rest, started: false });
    }

    /// Drops the part of a request that the writer has not taken, and returns how much it had taken.
    pub(crate) fn give_up(&mut self, id: RequestId, offset: Offset) -> GivenUp {
        let body = self.long.iter().position(|body| body.of == BodyOf::Request && body.id == id);
        let started = body.and_then(|at| self.long.remove(at)).map(|body| body.started);
        if !offset.is_before(self.taken) {
            self.frames[(offset.at - self.taken) as usize] = frame::VOID;
            return GivenUp::Unsent;
        }
        match started {
            Some(_) => GivenUp::Partly,
            None => GivenUp::Sent,
        }
    }

    /// Returns whether a part of a request's long body still waits for the writer. The peer cannot start
    /// such a request.
    pub(crate) fn holds_body_of(&self, id: RequestId) -> bool {
        self.long.iter().any(|body| body.of == BodyOf::Request && body.id == id)
    }

    /// Drops the long body of a reply that the caller no longer waits for, unless the writer has taken
    /// its first chunk.
    pub(crate) fn forget_reply(&mut self, id: RequestId) {
        self.long.retain(|body| body.of != BodyOf::Reply || body.id != id || body.started);
    }

    /// Moves the bytes to write next into `batch`: all queued frames, then a few chunks. `batch` must be
    /// empty, and the previous batch must have been written. Returns the number of bytes of frames,
    /// chunks excluded.
    pub(crate) fn take(&mut self, batch: &mut Batch) -> u64 {
        let frames = self.frames.len() as u64;
        self.taken += frames;
        batch.take_frames(&mut self.frames);
        for _ in 0..CHUNKS_PER_WRITE {
            let Some(at) = self.next_body() else { break };
            let body = &mut self.long[at];
            let chunk = body.rest.split_to(body.rest.len().min(CHUNK));
            body.started = true;
            batch.add_chunk(body.of, body.id, chunk);
            if body.rest.is_empty() {
                self.long.remove(at);
            }
        }
        self.writing = !batch.is_empty();
        frames
    }

    /// Returns the index of the long body whose chunk is sent next. The shortest remaining body goes
    /// first, so that the other end can start on it. Every fourth chunk belongs to the oldest body, so
    /// that no body starves.
    fn next_body(&mut self) -> Option<usize> {
        self.chunk_count = (self.chunk_count + 1) % OLDEST_EVERY;
        if self.chunk_count == 0 && !self.long.is_empty() {
            return Some(0);
        }
        let left = |(_, body): &(usize, &LongBody)| body.rest.len();
        self.long.iter().enumerate().min_by_key(left).map(|(at, _)| at)
    }

    /// Frees unused memory, except the capacity that pings need.
    pub(crate) fn shrink(&mut self) {
        if self.frames.is_empty() && self.frames.capacity() > IDLE {
            self.frames = Vec::new();
        }
        self.long.shrink_to_fit();
        self.pings.shrink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wire::{frame::Frame, ids::MethodIndex};

    fn head(id: u64) -> RequestHead {
        RequestHead {
            id: RequestId(id),
            method: MethodIndex(0),
            primary: false,
            attempt: 1,
            stamp: 0,
            timeout: 1,
        }
    }

    /// Describes each frame in a batch by its kind, and by its id if it has one.
    fn summary(mut batch: &[u8]) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some((frame, length)) = frame::split(batch).unwrap() {
            seen.push(match frame::decode(frame).unwrap() {
                Frame::Void => "void".to_owned(),
                Frame::Request(head, _) => format!("request {}", head.id),
                Frame::Reply { id, .. } => format!("reply {id}"),
                Frame::Chunk { id, bytes, .. } => format!("chunk {id} of {}", bytes.len()),
                other => format!("{other:?}"),
            });
            batch = &batch[length..];
        }
        seen
    }

    fn take(outbox: &mut Outbox) -> Vec<String> {
        let mut batch = Batch::default();
        outbox.take(&mut batch);
        let bytes = batch.parts().collect::<Vec<_>>().concat();
        assert_eq!(bytes.len(), batch.len());
        summary(&bytes)
    }

    #[test]
    fn a_request_given_up_before_it_is_taken_becomes_a_void_frame() {
        let mut outbox = Outbox::default();
        outbox.request(&head(1), &mut b"a".to_vec());
        let offset = outbox.request(&head(2), &mut b"b".to_vec());
        assert_eq!(outbox.give_up(RequestId(2), offset), GivenUp::Unsent);
        assert_eq!(take(&mut outbox), ["request 1", "void"]);
    }

    #[test]
    fn a_request_given_up_after_it_was_taken_counts_as_sent() {
        let mut outbox = Outbox::default();
        let offset = outbox.request(&head(1), &mut b"a".to_vec());
        take(&mut outbox);
        assert_eq!(outbox.give_up(RequestId(1), offset), GivenUp::Sent);
    }

    #[test]
    fn a_long_request_given_up_before_its_last_chunk_cannot_start() {
        let mut outbox = Outbox::default();
        let unsent = outbox.request(&head(1), &mut vec![0; 40_000]);
        assert_eq!(outbox.give_up(RequestId(1), unsent), GivenUp::Unsent);
        assert_eq!(take(&mut outbox), ["void"]);

        let partly = outbox.request(&head(2), &mut vec![0; 10 * CHUNK]);
        take(&mut outbox);
        assert_eq!(outbox.give_up(RequestId(2), partly), GivenUp::Partly);
        assert!(outbox.is_empty());

        let sent = outbox.request(&head(3), &mut vec![0; CHUNK + 1]);
        take(&mut outbox);
        assert_eq!(outbox.give_up(RequestId(3), sent), GivenUp::Sent);
    }

    #[test]
    fn a_batch_counts_as_written_when_the_next_one_is_taken() {
        let mut outbox = Outbox::default();
        outbox.request(&head(1), &mut b"a".to_vec());
        assert!(!outbox.is_idle());
        take(&mut outbox);
        assert!(outbox.is_empty() && !outbox.is_idle());
        take(&mut outbox);
        assert!(outbox.is_idle());
    }

    #[test]
    fn small_frames_pass_between_the_chunks_of_long_bodies() {
        let mut outbox = Outbox::default();
        outbox.request(&head(1), &mut vec![0; 2 * CHUNKS_PER_WRITE * CHUNK]);
        let chunks = [CHUNK_OF_1; CHUNKS_PER_WRITE];
        assert_eq!(take(&mut outbox), [&["request 1"], &chunks[..]].concat());
        outbox.request(&head(3), &mut b"small".to_vec());
        assert_eq!(take(&mut outbox), [&["request 3"], &chunks[..]].concat());
        assert!(outbox.is_empty());
    }

    #[test]
    fn the_shortest_remaining_body_goes_first_and_the_oldest_does_not_starve() {
        let mut outbox = Outbox::default();
        outbox.request(&head(1), &mut vec![0; 20 * CHUNK]);
        take(&mut outbox);
        outbox.reply(RequestId(2), vec![0; 8 * CHUNK]);
        let mut sent = Vec::new();
        while !outbox.is_empty() {
            sent.extend(take(&mut outbox).into_iter().filter(|frame| frame.starts_with("chunk")));
        }
        let end = sent.iter().rposition(|chunk| chunk == CHUNK_OF_2).unwrap();
        let of_the_oldest = sent[..end].iter().filter(|chunk| *chunk == CHUNK_OF_1).count();
        assert!((2..=4).contains(&of_the_oldest), "{sent:?}");
    }

    const CHUNK_OF_1: &str = "chunk 1 of 65536";
    const CHUNK_OF_2: &str = "chunk 2 of 65536";
}
