//! The bytes of one write: frames, then chunks of long bodies, which are not copied.

use std::io::IoSlice;

use bytes::Bytes;

use super::bodies::{CHUNKS_PER_WRITE, Held, NextChunk};
use crate::proto::wire::frame::{self, Body};

/// Upper bound on the slices of memory that one write passes to the socket.
pub(crate) const MAX_SLICES: usize = 2 * CHUNKS_PER_WRITE + 1;

/// The bytes of one write: frames, then chunks of long bodies.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The frames, then the header of each chunk.
    bytes: Vec<u8>,
    /// For each chunk, the number of bytes of `bytes` that are written before it, and its content.
    chunks: Vec<(usize, Bytes)>,
    /// Dropped once the batch has been written.
    held: Vec<Held>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the number of bytes in the batch, including the chunks.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.chunks.iter().map(|(_, chunk)| chunk.len()).sum::<usize>()
    }

    /// Empties the batch, and frees its buffer if its capacity exceeds `keep` bytes.
    pub(crate) fn clear(&mut self, keep: usize) {
        self.chunks.clear();
        self.held.clear();
        self.bytes.clear();
        if self.bytes.capacity() > keep {
            self.bytes = Vec::new();
        }
    }

    /// Swaps the empty buffer of the batch with `frames`.
    pub(crate) fn take_frames(&mut self, frames: &mut Vec<u8>) {
        debug_assert!(self.is_empty());
        std::mem::swap(&mut self.bytes, frames);
    }

    /// Adds a chunk, after the announcement of its reply if it is the first.
    pub(crate) fn add_chunk(&mut self, chunk: NextChunk) {
        let NextChunk { of, id, prefix, bytes, announce, held } = chunk;
        if let Some(size) = announce {
            frame::put_reply(id, Body::Chunked(size), &mut self.bytes);
        }
        frame::put_chunk_head(of, id, prefix.len() + bytes.len(), &mut self.bytes);
        self.bytes.extend_from_slice(&prefix);
        self.chunks.push((self.bytes.len(), bytes));
        self.hold(held);
    }

    /// Holds something until the batch has been written.
    pub(crate) fn hold(&mut self, held: Option<Held>) {
        self.held.extend(held);
    }

    /// Returns the parts of the batch in the order in which they are written.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        let chunks = self.chunks.iter().flat_map(move |(to, chunk)| {
            let before = &self.bytes[std::mem::replace(&mut from, *to)..*to];
            [before, &chunk[..]]
        });
        let last = self.chunks.last().map_or(0, |(to, _)| *to);
        chunks.chain([&self.bytes[last..]])
    }

    /// Returns the parts of the batch after the first `done` bytes. None of them is empty.
    fn parts_after(&self, done: usize) -> impl Iterator<Item = &[u8]> {
        let mut skip = done;
        self.parts().filter_map(move |part| {
            let rest = &part[skip.min(part.len())..];
            skip -= part.len() - rest.len();
            (!rest.is_empty()).then_some(rest)
        })
    }

    /// Fills `slices` with the bytes after the first `done` bytes, and returns how many slices it filled.
    pub(crate) fn slices<'a>(
        &'a self,
        done: usize,
        slices: &mut [IoSlice<'a>; MAX_SLICES],
    ) -> usize {
        let mut count = 0;
        for part in self.parts_after(done) {
            slices[count] = IoSlice::new(part);
            count += 1;
        }
        count
    }

    /// Looks for the first chunk after the first `done` bytes that has at least `least` bytes after its prefix. Returns
    /// the number of bytes before those.
    pub(crate) fn next_chunk(&self, done: usize, least: usize) -> Option<usize> {
        let mut before = 0;
        self.chunks.iter().find_map(|(to, chunk)| {
            let start = to + before;
            before += chunk.len();
            start.checked_sub(done).filter(|_| chunk.len() >= least)
        })
    }

    /// If the first `done` bytes end within a chunk, returns how many bytes of that chunk follow.
    pub(crate) fn rest_of_chunk(&self, done: usize) -> Option<usize> {
        let mut before = 0;
        self.chunks.iter().find_map(|(to, chunk)| {
            let start = to + before;
            before += chunk.len();
            (start < done && done < start + chunk.len()).then(|| start + chunk.len() - done)
        })
    }

    /// Appends at most `at_most` of the bytes after the first `done` bytes. Returns how many.
    pub(crate) fn copy_to(&self, to: &mut Vec<u8>, done: usize, at_most: usize) -> usize {
        let mut room = at_most;
        for part in self.parts_after(done) {
            let part = &part[..part.len().min(room)];
            room -= part.len();
            to.extend_from_slice(part);
        }
        at_most - room
    }

    /// Returns the bytes after the first `done` bytes, if the batch is contiguous in memory.
    pub(crate) fn contiguous(&self, done: usize) -> Option<&[u8]> {
        self.chunks.is_empty().then(|| &self.bytes[done..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wire::{frame::BodyOf, ids::RequestId};

    #[test]
    fn the_next_long_chunk_is_found_from_any_position() {
        let mut batch = Batch::default();
        assert_eq!(batch.next_chunk(0, 1), None);
        for length in [10, 300, 200] {
            batch.add_chunk(NextChunk {
                of: BodyOf::Request,
                id: RequestId(1),
                prefix: Bytes::new(),
                bytes: vec![0; length].into(),
                announce: None,
                held: None,
            });
        }
        let ends: Vec<usize> = batch.chunks.iter().map(|(to, _)| *to).collect();
        let long = [ends[1] + 10, ends[2] + 310];
        for done in 0..=batch.len() {
            let next = long.into_iter().find(|start| *start >= done).map(|start| start - done);
            assert_eq!(batch.next_chunk(done, 100), next, "{done}");
        }
        assert_eq!(batch.next_chunk(0, 301), None);
        for (start, length) in [(ends[0], 10), (long[0], 300), (long[1], 200)] {
            assert_eq!(batch.rest_of_chunk(start), None);
            assert_eq!(batch.rest_of_chunk(start + 1), Some(length - 1));
            assert_eq!(batch.rest_of_chunk(start + length - 1), Some(1));
            assert_eq!(batch.rest_of_chunk(start + length), None);
        }
    }
}
