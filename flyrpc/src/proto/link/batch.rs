//! What goes out in one write: frames, and chunks of long bodies, which are not copied.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::outbox::CHUNKS_PER_WRITE;
use crate::{
    env::StreamWriter,
    proto::wire::{
        frame::{self, BodyOf},
        ids::RequestId,
    },
};

/// Frames, and then chunks.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The frames, and then what comes before the bytes of each chunk.
    bytes: Vec<u8>,
    /// The bytes of each chunk, and how many of those above come before them.
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

    /// Empties it. A buffer for more than `keep` bytes is given back.
    pub(crate) fn clear(&mut self, keep: usize) {
        self.chunks.clear();
        self.bytes.clear();
        if self.bytes.capacity() > keep {
            self.bytes = Vec::new();
        }
    }

    /// Takes frames, to which it must be empty, and leaves its buffer for more.
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

    /// Writes some of what comes after the first `done` bytes.
    pub(crate) fn poll_write(
        &self,
        done: usize,
        to: &mut dyn StreamWriter,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.chunks.is_empty() {
            return Pin::new(to).poll_write(task, &self.bytes[done..]);
        }
        let mut slices = [IoSlice::new(&[]); 2 * CHUNKS_PER_WRITE + 1];
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
        Pin::new(to).poll_write_vectored(task, &slices[..count])
    }
}
