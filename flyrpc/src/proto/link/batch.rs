//! The bytes of one write: frames, and chunks of long bodies, which are not copied.

use std::io::IoSlice;

use bytes::Bytes;

use crate::proto::wire::{
    frame::{self, BodyOf},
    ids::RequestId,
};

/// How many chunks of long bodies go into one write.
pub(crate) const CHUNKS_PER_WRITE: usize = 4;

/// The most pieces of memory that one write hands to the socket.
pub(crate) const MAX_SLICES: usize = 2 * CHUNKS_PER_WRITE + 1;

/// Frames, then chunks.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The frames, then the header of each chunk.
    bytes: Vec<u8>,
    /// The bytes of each chunk, and how many of the bytes above precede them.
    chunks: Vec<(usize, Bytes)>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes are written in all.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.chunks.iter().map(|(_, chunk)| chunk.len()).sum::<usize>()
    }

    /// Empties it, and frees a buffer with a capacity of more than `keep` bytes.
    pub(crate) fn clear(&mut self, keep: usize) {
        self.chunks.clear();
        self.bytes.clear();
        if self.bytes.capacity() > keep {
            self.bytes = Vec::new();
        }
    }

    /// Swaps its empty buffer for `frames`.
    pub(crate) fn take_frames(&mut self, frames: &mut Vec<u8>) {
        debug_assert!(self.is_empty());
        std::mem::swap(&mut self.bytes, frames);
    }

    /// Adds the next bytes of a body.
    pub(crate) fn add_chunk(&mut self, of: BodyOf, id: RequestId, chunk: Bytes) {
        frame::put_chunk_head(of, id, chunk.len(), &mut self.bytes);
        self.chunks.push((self.bytes.len(), chunk));
    }

    /// Its parts, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        let chunks = self.chunks.iter().flat_map(move |(to, chunk)| {
            let before = &self.bytes[std::mem::replace(&mut from, *to)..*to];
            [before, &chunk[..]]
        });
        let last = self.chunks.last().map_or(0, |(to, _)| *to);
        chunks.chain([&self.bytes[last..]])
    }

    /// Fills `slices` with what comes after the first `done` bytes, and returns how many it filled.
    pub(crate) fn slices<'a>(
        &'a self,
        done: usize,
        slices: &mut [IoSlice<'a>; MAX_SLICES],
    ) -> usize {
        let mut skip = done;
        let mut count = 0;
        for part in self.parts() {
            let rest = &part[skip.min(part.len())..];
            skip -= part.len() - rest.len();
            if !rest.is_empty() {
                slices[count] = IoSlice::new(rest);
                count += 1;
            }
        }
        count
    }

    /// What comes after the first `done` bytes, if that is one piece of memory.
    pub(crate) fn contiguous(&self, done: usize) -> Option<&[u8]> {
        self.chunks.is_empty().then(|| &self.bytes[done..])
    }
}
