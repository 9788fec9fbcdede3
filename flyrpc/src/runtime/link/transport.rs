//! The seam between a link and its socket: frames above, bytes below.
//!
//! The reader task takes whole frames out of a [`FrameReader`], the writer task hands whole batches
//! to a [`FrameWriter`]; neither sees the stream. After the handshake, what transforms the bytes of a
//! connection, such as sealing, belongs here. [`FrameWriter::poll_write`] returns bytes of the batch,
//! not of the socket, because what counts as sent rests on them.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::{
    codec::bytes::Malformed,
    env::StreamWriter,
    proto::{
        link::batch::{Batch, MAX_SLICES},
        wire::frame,
    },
};

/// The most bytes of one read while there is much to read.
const READ_MAX: usize = 256 << 10;

/// How many bytes an idle link is ready to read.
const IDLE_READ: usize = 2 << 10;

/// How long the last replies of a drained link may take to arrive.
const LINGER_MAX: Duration = Duration::from_secs(60);

/// How long a drained link may take to shut its connection down.
const SHUTDOWN_MAX: Duration = Duration::from_secs(1);

/// The receiving half of a connection, and what it has buffered.
pub(super) struct FrameReader {
    stream: Box<dyn AsyncRead + Send + Unpin>,
    buffer: BytesMut,
    /// Whether the last read filled the buffer.
    filled: bool,
}

/// One read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    /// In bytes. None is the end of the stream.
    pub(super) count: usize,
    /// Whether there may be more to read at once: this filled the buffer.
    pub(super) more: bool,
}

impl FrameReader {
    /// Reads from `stream`, after what is in `buffer` already.
    pub(super) fn new(stream: Box<dyn AsyncRead + Send + Unpin>, buffer: BytesMut) -> Self {
        FrameReader { stream, buffer, filled: false }
    }

    /// Waits for bytes. Dropping the future loses none.
    pub(super) async fn read(&mut self) -> io::Result<Received> {
        let room = self.make_room();
        let count = self.stream.read_buf(&mut self.buffer).await?;
        Ok(self.on_read(count, room))
    }

    /// Reads what is there, without waiting.
    pub(super) fn try_read(&mut self) -> Option<io::Result<Received>> {
        let room = self.make_room();
        let read = tokio::task::unconstrained(self.stream.read_buf(&mut self.buffer));
        Some(read.now_or_never()?.map(|count| self.on_read(count, room)))
    }

    /// Takes all whole frames that are buffered, and an error if what follows them is no frame. The
    /// frames are in one piece of memory, so that bodies can be parts of it and none is copied.
    pub(super) fn take_frames(&mut self) -> (Bytes, Result<(), Malformed>) {
        let (length, rest) = frame::complete(&self.buffer);
        (self.buffer.split_to(length).freeze(), rest)
    }

    /// Frees the buffer's memory, if it holds nothing.
    pub(super) fn shrink(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > IDLE_READ {
            self.buffer = BytesMut::new();
        }
    }

    /// Whether nothing is buffered.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Waits until the peer has closed its end too, unless it is silent for `idle_timeout`. Were the
    /// connection closed before, the peer's next ping would be answered with a reset, and what is
    /// still on its way there would be lost.
    pub(super) async fn linger(&mut self, idle_timeout: Duration) {
        let mut discarded = [0; 1024];
        let until_closed = async {
            let mut read =
                async || tokio::time::timeout(idle_timeout, self.stream.read(&mut discarded)).await;
            while matches!(read().await, Ok(Ok(count)) if count > 0) {}
        };
        // Either way the connection is closed next.
        let _ = tokio::time::timeout(LINGER_MAX, until_closed).await;
    }

    /// Makes room for the next read, and returns how much there is.
    fn make_room(&mut self) -> usize {
        if self.buffer.is_empty() && self.buffer.capacity() > READ_MAX {
            self.buffer = BytesMut::new();
        }
        let spare = self.buffer.capacity() - self.buffer.len();
        let (least, room) =
            if self.filled { (READ_MAX / 2, READ_MAX) } else { (IDLE_READ / 2, IDLE_READ) };
        if spare < least {
            self.buffer.reserve(room);
        }
        self.buffer.capacity() - self.buffer.len()
    }

    fn on_read(&mut self, count: usize, room: usize) -> Received {
        self.filled = self.buffer.len() == self.buffer.capacity();
        Received { count, more: count == room }
    }
}

/// The sending half of a connection.
pub(super) struct FrameWriter {
    stream: Box<dyn StreamWriter>,
}

impl FrameWriter {
    pub(super) fn new(stream: Box<dyn StreamWriter>) -> Self {
        FrameWriter { stream }
    }

    /// Writes some of what comes after the first `done` bytes of a batch.
    pub(super) fn poll_write(
        &mut self,
        batch: &Batch,
        done: usize,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut *self.stream);
        if let Some(bytes) = batch.contiguous(done) {
            return stream.poll_write(task, bytes);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = batch.slices(done, &mut slices);
        stream.poll_write_vectored(task, &slices[..count])
    }

    /// Closes this direction, so that the peer reads all that was written.
    pub(super) async fn shutdown(&mut self) {
        // The peer may be gone or stuck; there is no one to report an error to.
        let _ = tokio::time::timeout(SHUTDOWN_MAX, self.stream.shutdown()).await;
    }

    /// Makes the coming close abortive: what was written but not sent is discarded.
    pub(super) fn abort_on_close(&mut self) {
        self.stream.abort_on_close();
    }
}
