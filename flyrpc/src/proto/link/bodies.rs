//! Queue of the long bodies that wait for the writer. Determines whose chunk is sent next.

use std::{cmp::Reverse, collections::VecDeque, fmt};

use bytes::Bytes;

use crate::proto::wire::{
    frame::{BodyOf, CHUNK},
    ids::RequestId,
};

/// Upper bound on the chunks of long bodies in one write.
pub(crate) const CHUNKS_PER_WRITE: usize = 4;

/// One in this many chunks belongs to the oldest body.
const OLDEST_EVERY: u32 = 4;

/// Upper bound on a part of a body that is copied, to be sent in one chunk with the part after it.
const PREFIX_MAX: usize = 1 << 10;

/// Something to drop once its reply has been written or can no longer be written: the permit of the
/// request.
pub(crate) struct Held {
    _value: Option<Box<dyn Send + Sync>>,
}

impl Held {
    /// Holds a value until the reply has been written.
    pub(crate) fn new(value: impl Send + Sync + 'static) -> Self {
        Held { _value: Some(Box::new(value)) }
    }

    /// Holds nothing.
    #[cfg(test)]
    pub(crate) fn nothing() -> Self {
        Held { _value: None }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

/// The part of a long body that has not been taken.
#[derive(Debug)]
pub(crate) struct Rest {
    parts: VecDeque<Bytes>,
    length: usize,
}

impl Rest {
    /// Creates a body that consists of `parts`. No part is empty.
    pub(crate) fn new(parts: Vec<Bytes>) -> Self {
        let length = parts.iter().map(Bytes::len).sum();
        Rest { parts: parts.into(), length }
    }

    fn len(&self) -> usize {
        self.length
    }

    /// Takes at most `at_most` bytes, as a short prefix, which may be empty, and the bytes after it.
    fn take(&mut self, at_most: usize) -> (Bytes, Bytes) {
        let is_short = |part: &Bytes| part.len() <= PREFIX_MAX.min(at_most / 2);
        let has_prefix = self.parts.len() > 1 && self.parts.front().is_some_and(is_short);
        let prefix = if has_prefix { self.parts.pop_front() } else { None }.unwrap_or_default();
        let Some(part) = self.parts.front_mut() else { return (prefix, Bytes::new()) };
        let bytes = part.split_to(part.len().min(at_most - prefix.len()));
        if part.is_empty() {
            self.parts.pop_front();
        }
        self.length -= prefix.len() + bytes.len();
        (prefix, bytes)
    }
}

/// A long body whose last chunk has not been taken.
#[derive(Debug)]
struct LongBody {
    of: BodyOf,
    id: RequestId,
    rest: Rest,
    /// Whether any chunk has been taken.
    started: bool,
    /// The time after which no caller waits for the body, in microseconds on this end's clock. `None`
    /// for a request, whose caller removes it.
    deadline: Option<u64>,
    held: Option<Held>,
}

/// How much of a body had been taken when it was removed.
#[derive(Debug)]
pub(crate) struct Removed {
    pub(crate) id: RequestId,
    /// Whether any chunk was taken, in which case the peer expects the rest.
    pub(crate) started: bool,
    pub(crate) held: Option<Held>,
}

/// A chunk to send.
#[derive(Debug)]
pub(crate) struct NextChunk {
    pub(crate) of: BodyOf,
    pub(crate) id: RequestId,
    /// The first bytes, which are few. The other bytes follow them.
    pub(crate) prefix: Bytes,
    pub(crate) bytes: Bytes,
    /// The size of the body, if this is the first chunk of a reply. A reply is announced only with its
    /// first chunk, so a reply that is removed earlier leaves no trace.
    pub(crate) announce: Option<u64>,
    /// Present on the last chunk only.
    pub(crate) held: Option<Held>,
}

/// The long bodies that wait for the writer.
#[derive(Debug, Default)]
pub(crate) struct LongBodies {
    /// In the order in which they were appended.
    bodies: Vec<LongBody>,
    /// The bytes of replies in `bodies`.
    reply_bytes: usize,
    /// The number of chunks taken, modulo [`OLDEST_EVERY`].
    chunk_count: u32,
}

impl LongBodies {
    pub(crate) fn is_empty(&self) -> bool {
        self.bodies.is_empty()
    }

    /// Returns the bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bodies.iter().map(|body| body.rest.len()).sum()
    }

    /// Returns the bytes of replies that wait.
    pub(crate) fn reply_bytes(&self) -> usize {
        self.reply_bytes
    }

    /// Adds the body of a request, which was announced with the request.
    pub(crate) fn add_request(&mut self, id: RequestId, body: Rest) {
        let of = BodyOf::Request;
        self.bodies.push(LongBody {
            of,
            id,
            rest: body,
            started: false,
            deadline: None,
            held: None,
        });
    }

    /// Adds the body of a reply. After `deadline`, no caller waits for it.
    pub(crate) fn add_reply(&mut self, id: RequestId, body: Rest, deadline: u64, held: Held) {
        let (of, deadline, held) = (BodyOf::Reply, Some(deadline), Some(held));
        self.reply_bytes += body.len();
        self.bodies.push(LongBody { of, id, rest: body, started: false, deadline, held });
    }

    pub(crate) fn contains(&self, of: BodyOf, id: RequestId) -> bool {
        self.position(of, id).is_some()
    }

    /// Removes the rest of a body.
    pub(crate) fn remove(&mut self, of: BodyOf, id: RequestId) -> Option<Removed> {
        let at = self.position(of, id)?;
        Some(self.remove_at(at))
    }

    /// Removes a reply whose deadline has passed at `now`, if there is one.
    pub(crate) fn remove_expired(&mut self, now: u64) -> Option<Removed> {
        let expired = |body: &LongBody| body.deadline.is_some_and(|deadline| deadline <= now);
        let at = self.bodies.iter().position(expired)?;
        Some(self.remove_at(at))
    }

    /// Removes all replies, and returns the values held for them.
    pub(crate) fn remove_replies(&mut self) -> Vec<Held> {
        self.reply_bytes = 0;
        let replies = self.bodies.extract_if(.., |body| body.of == BodyOf::Reply);
        replies.filter_map(|body| body.held).collect()
    }

    /// Takes the next chunk, of at most `at_most` bytes.
    pub(crate) fn take_chunk(&mut self, at_most: usize) -> Option<NextChunk> {
        let at = self.next()?;
        let body = &mut self.bodies[at];
        let (of, id) = (body.of, body.id);
        let size = body.rest.len();
        let (prefix, bytes) = body.rest.take(CHUNK.min(at_most));
        let taken = prefix.len() + bytes.len();
        let first = !std::mem::replace(&mut body.started, true);
        let announce = (first && of == BodyOf::Reply).then_some(size as u64);
        if of == BodyOf::Reply {
            self.reply_bytes -= taken;
        }
        let is_last = taken == size;
        let held = if is_last { self.remove_at(at).held } else { None };
        Some(NextChunk { of, id, prefix, bytes, announce, held })
    }

    /// Frees unused memory.
    pub(crate) fn shrink(&mut self) {
        self.bodies.shrink_to_fit();
    }

    fn position(&self, of: BodyOf, id: RequestId) -> Option<usize> {
        self.bodies.iter().position(|body| body.of == of && body.id == id)
    }

    fn remove_at(&mut self, at: usize) -> Removed {
        let LongBody { of, id, rest, started, held, .. } = self.bodies.remove(at);
        if of == BodyOf::Reply {
            self.reply_bytes -= rest.len();
        }
        Removed { id, started, held }
    }

    /// Returns the index of the body whose chunk is sent next.
    ///
    /// The body with the fewest remaining bytes goes first, so that the other end can start on it. Ties
    /// go to a body whose first chunk was already sent, then to the newest reply, because its caller has
    /// the most time left. Every fourth chunk belongs to the oldest body, so that no body starves.
    fn next(&mut self) -> Option<usize> {
        self.chunk_count = (self.chunk_count + 1) % OLDEST_EVERY;
        if self.chunk_count == 0 && !self.bodies.is_empty() {
            return Some(0);
        }
        let key = |(at, body): &(usize, &LongBody)| {
            let newest = (body.of == BodyOf::Reply).then_some(Reverse(*at));
            (body.rest.len(), !body.started, newest)
        };
        self.bodies.iter().enumerate().min_by_key(key).map(|(at, _)| at)
    }
}
