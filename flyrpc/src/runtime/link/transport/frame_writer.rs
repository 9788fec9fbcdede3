//! [`FrameWriter`]: the sending half of a connection.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::AsyncWriteExt;

use super::frame_reader::DIRECT_MIN;
use crate::{
    env::StreamWriter,
    proto::{
        link::batch::{Batch, MAX_SLICES},
        seal::record::{CONTENT_MAX, Sealer},
    },
};

/// Upper bound on the bytes of one write that are contiguous in memory. If the outbox holds much, a single
/// write of all of it would occupy the thread for milliseconds.
const WRITE_MAX: usize = 64 << 10;

/// Upper bound on the time that a drained link takes to shut down its connection.
const SHUTDOWN_MAX: Duration = Duration::from_secs(1);

/// A record ends after at most this many bytes of the content of a long chunk, and the next one ends with the chunk, so
/// that the peer can read and open the content of that record in the buffer of the body. The rest of a chunk of 64 KiB
/// fits into one record.
const CHUNK_START: usize = 1 << 10;

/// After this many bytes of records, no other record is added to a write.
const SEALED_WRITE_MAX: usize = 80 << 10;

/// The memory of a write of more bytes than this is freed after [`SHORT_WRITES_MAX`] writes that need no more.
const SHORT_WRITE: usize = 2 << 10;
const SHORT_WRITES_MAX: u32 = 16;

/// The sending half of a connection.
pub(crate) struct FrameWriter {
    stream: Box<dyn StreamWriter>,
    /// Seals what is written. `None` on an open link.
    seal: Option<Box<SealedWrite>>,
}

/// The records that are being written.
struct SealedWrite {
    sealer: Sealer,
    records: Vec<u8>,
    /// The number of bytes of the records that the socket has accepted.
    written: usize,
    /// For each record that is not written yet: where it ends, and the number of bytes of the batch that it contains.
    ends: VecDeque<(usize, usize)>,
    /// How many writes in succession were short.
    short: u32,
}

/// The result of a write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// The number of bytes that the socket accepted. Zero means that it accepts no more.
    pub(crate) count: usize,
    /// The number of bytes of the batch that the peer can read once it has received these bytes. Zero while a
    /// record is incomplete.
    pub(crate) of_batch: usize,
}

impl FrameWriter {
    /// Creates a writer to `stream`. On a sealed link, `sealer` seals what is written.
    pub(crate) fn new(stream: Box<dyn StreamWriter>, sealer: Option<Sealer>) -> Self {
        let seal = sealer.map(|sealer| Box::new(SealedWrite::new(sealer)));
        FrameWriter { stream, seal }
    }

    /// Writes some bytes of a batch, after the first `done` bytes.
    #[inline]
    pub(crate) fn poll_write(
        &mut self,
        batch: &Batch,
        done: usize,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<Written>> {
        let stream = Pin::new(&mut *self.stream);
        if let Some(seal) = &mut self.seal {
            return seal.poll_write(stream, batch, done, task);
        }
        let written = write_open(stream, batch, done, task);
        written.map_ok(|count| Written { count, of_batch: count })
    }

    /// Frees memory that was needed to write. Everything must have been written. `is_idle` tells whether the link is idle.
    pub(crate) fn shrink(&mut self, is_idle: bool) {
        let Some(seal) = &mut self.seal else { return };
        if is_idle {
            seal.free();
        } else {
            seal.shrink();
        }
    }

    /// Makes the connection accept no more bytes while it holds `bytes` unsent bytes.
    pub(crate) fn set_low_water(&mut self, bytes: usize) {
        self.stream.set_low_water(bytes);
    }

    /// Shuts down the sending direction, so that the peer can still read everything that was
    /// written.
    pub(crate) async fn shutdown(&mut self) {
        // An error is ignored, because the peer may be gone or stalled.
        let _ = tokio::time::timeout(SHUTDOWN_MAX, self.stream.shutdown()).await;
    }

    /// Makes the next close abortive: data that was written but not sent is discarded.
    pub(crate) fn abort_on_close(&mut self) {
        self.stream.abort_on_close();
    }
}

/// Writes some bytes of a batch, after the first `done` bytes. Returns how many were written.
#[inline]
fn write_open(
    stream: Pin<&mut dyn StreamWriter>,
    batch: &Batch,
    done: usize,
    task: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if let Some(bytes) = batch.contiguous(done) {
        return stream.poll_write(task, &bytes[..bytes.len().min(WRITE_MAX)]);
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let count = batch.slices(done, &mut slices);
    stream.poll_write_vectored(task, &slices[..count])
}

/// Returns how many bytes of a batch, after the first `done` bytes, the next record may contain.
fn record_content(batch: &Batch, done: usize) -> usize {
    let rest = batch.rest_of_chunk(done).filter(|rest| *rest >= DIRECT_MIN);
    let start = || Some(batch.next_chunk(done, CHUNK_START + DIRECT_MIN)? + CHUNK_START);
    rest.or_else(start).unwrap_or(CONTENT_MAX)
}

impl SealedWrite {
    fn new(sealer: Sealer) -> Self {
        SealedWrite { sealer, records: Vec::new(), written: 0, ends: VecDeque::new(), short: 0 }
    }

    /// Writes some bytes of the records, after sealing new ones if the last ones were written.
    fn poll_write(
        &mut self,
        stream: Pin<&mut dyn StreamWriter>,
        batch: &Batch,
        done: usize,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<Written>> {
        if self.ends.is_empty() {
            self.seal(batch, done);
        }
        let count = ready!(stream.poll_write(task, &self.records[self.written..]))?;
        self.written += count;
        // The peer cannot open a part of a record, so nothing in it has been sent before its last byte.
        let mut of_batch = 0;
        while let Some(&(end, content)) = self.ends.front()
            && end <= self.written
        {
            self.ends.pop_front();
            of_batch += content;
        }
        Poll::Ready(Ok(Written { count, of_batch }))
    }

    /// Seals the bytes of a batch after the first `done` bytes, or as many of them as one write may contain.
    fn seal(&mut self, batch: &Batch, mut done: usize) {
        self.records.clear();
        self.written = 0;
        let length = batch.len();
        while done < length && self.records.len() < SEALED_WRITE_MAX {
            let start = self.records.len();
            Sealer::start(&mut self.records);
            let at_most = record_content(batch, done).min(CONTENT_MAX);
            let content = batch.copy_to(&mut self.records, done, at_most);
            self.sealer.finish(&mut self.records, start);
            self.ends.push_back((self.records.len(), content));
            done += content;
        }
        let is_short = self.records.len() <= SHORT_WRITE;
        self.short = if is_short { self.short.saturating_add(1) } else { 0 };
    }

    /// Frees the memory for long writes after many short ones. Everything must have been written.
    fn shrink(&mut self) {
        if self.short > SHORT_WRITES_MAX && self.records.capacity() > SHORT_WRITE {
            self.free_records();
        }
    }

    /// Frees all memory that is not needed while the link is idle. Everything must have been written.
    fn free(&mut self) {
        self.free_records();
        self.sealer.free();
    }

    fn free_records(&mut self) {
        (self.records, self.ends, self.written) = (Vec::new(), VecDeque::new(), 0);
    }
}
