//! [`FrameReader`]: the receiving half of a connection.

use std::{
    future::Future,
    io,
    pin::pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::AsyncReadExt;

use crate::{
    codec::bytes::Malformed,
    env::StreamReader,
    proto::{
        link::{assembler::PartialBody, lifecycle::LinkError, liveness::FLOW},
        seal::records::Records,
        wire::frame::{self, ChunkStart, Rest},
    },
};

/// Buffer space in bytes for the next read, after a read that filled the buffer.
const READ_MAX: usize = 256 << 10;

/// Upper bound on the frames that are taken from the buffer at once. Finding their ends also takes time.
const MAX_FRAMES: usize = 1024;

/// Buffer space in bytes for the next read of an idle link.
const IDLE_READ: usize = 2 << 10;

/// Until this many bytes arrive, an idle link keeps no buffer while it waits.
const IDLE_BYTES: usize = FLOW as usize;

/// The rest of a chunk is read into the buffer of its body if it is at least this long, in bytes. Each such read
/// costs a system call.
pub(super) const DIRECT_MIN: usize = 8 << 10;

/// Upper bound on the time that a drained link waits for the peer to receive its last replies.
const LINGER_MAX: Duration = Duration::from_secs(60);

/// The receiving half of a connection, with its buffers.
pub(crate) struct FrameReader {
    stream: Box<dyn StreamReader>,
    /// The received bytes of frames.
    buffer: BytesMut,
    /// The received records that are not opened yet. `None` on an open link.
    records: Option<Records>,
    /// Whether the last read filled the buffer.
    filled: bool,
    /// Whether a complete record was left unopened, because the frames before it begin a chunk that it continues.
    has_record: bool,
    /// Whether the last read was into the buffer of a body. Not on a sealed link.
    after_chunk: bool,
    /// How many bytes may arrive before the link is not idle anymore. Zero if it is not idle.
    idle: usize,
}

/// The result of a read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    /// The number of bytes taken from the socket. Zero at the end of the stream, and if the records had already been
    /// read.
    pub(crate) count: usize,
    /// The number of bytes that were added to a body. On a sealed link, only opened bytes count.
    pub(crate) of_body: usize,
    /// The number of records that were opened.
    pub(crate) records: usize,
    /// Whether more may be available immediately. Not if the socket was read and is empty, and all complete records
    /// were opened.
    pub(crate) more: bool,
}

impl Received {
    /// Whether this is the end of the stream.
    pub(crate) fn is_end(&self) -> bool {
        self.count == 0 && self.records == 0
    }
}

impl FrameReader {
    /// Creates a reader of `stream`. The bytes in `buffer` come before those of the stream. If the link is
    /// sealed, `records` opens what the stream contains.
    pub(crate) fn new(
        stream: Box<dyn StreamReader>,
        buffer: BytesMut,
        records: Option<Records>,
    ) -> Self {
        FrameReader {
            stream,
            buffer,
            records,
            filled: false,
            has_record: false,
            after_chunk: false,
            idle: 0,
        }
    }

    /// Reads the available bytes.
    #[inline]
    pub(crate) fn poll_read(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<Result<Received, LinkError>> {
        if self.idle > 0 && !self.has_record {
            ready!(self.poll_idle(task))?;
        }
        if self.records.is_some() {
            return self.poll_read_records(&mut (&mut [] as &mut [u8]), 0, task);
        }
        let room = self.make_room();
        let mut to = (&mut self.buffer).limit(room);
        let count = ready!(pin!(self.stream.read_buf(&mut to)).poll(task))?;
        self.idle = self.idle.saturating_sub(count);
        self.filled = count == room;
        self.after_chunk = false;
        Poll::Ready(Ok(Received { count, of_body: 0, records: 0, more: self.filled }))
    }

    /// Reads the available bytes into `body`. `left` bytes of its current chunk have not been received. The buffer must be
    /// empty. If a record of the chunk is [in the body](Self::is_in_body) afterward, pass the same body next.
    pub(crate) fn poll_read_into(
        &mut self,
        body: &mut PartialBody,
        left: usize,
        task: &mut Context<'_>,
    ) -> Poll<Result<Received, LinkError>> {
        debug_assert!(self.buffer.is_empty());
        if let Some(records) = &mut self.records {
            // Only for the last chunk of a body, or if little follows it. Otherwise, many records may be available, and
            // reading them at once saves system calls.
            let is_near_end = body.is_complete_after(left + DIRECT_MIN);
            let is_in_body = records.left_in_body().is_some()
                || is_near_end && records.begin_in_body(body.buffer(), left, DIRECT_MIN);
            if is_in_body {
                return self.poll_read_in_body(body, left, task);
            }
            return self.poll_read_records(&mut body.room(left), left, task);
        }
        let mut to = body.room(left);
        let room = to.remaining_mut();
        let count = ready!(pin!(self.stream.read_buf(&mut to)).poll(task))?;
        self.idle = self.idle.saturating_sub(count);
        // Another chunk may follow. If so, the next read should not contain much of it.
        self.filled = false;
        self.after_chunk = true;
        Poll::Ready(Ok(Received { count, of_body: count, records: 0, more: count == room }))
    }

    /// Reads the available bytes of a sealed link, and opens the complete records. Their contents go to `body` until it
    /// is full, then to the buffer. They begin with the `left` bytes of the current chunk that have not been received. If
    /// the buffer then ends with the start of a chunk, the next record is left for the next call, which opens it into the
    /// body of the chunk.
    fn poll_read_records(
        &mut self,
        body: &mut (impl BufMut + Unpin),
        left: usize,
        task: &mut Context<'_>,
    ) -> Poll<Result<Received, LinkError>> {
        let reads = !self.has_record;
        let mut count = 0;
        if reads {
            count = ready!(self.poll_fill_records(self.filled, usize::MAX, task))?;
        }
        let (of_body, records) = self.open_records(body, left)?;
        // Without a read, it is not known whether the socket is empty.
        let more = self.filled || self.has_record || !reads;
        Poll::Ready(Ok(Received { count, of_body, records, more }))
    }

    /// Reads the rest of the record that is in `body`. The content counts as received once the record is complete, and
    /// opened.
    fn poll_read_in_body(
        &mut self,
        body: &mut PartialBody,
        left_of_chunk: usize,
        task: &mut Context<'_>,
    ) -> Poll<Result<Received, LinkError>> {
        let Some(records) = &mut self.records else { unreachable!("the link is sealed") };
        let left = records.left_in_body().unwrap_or(0);
        let mut received = Received { count: 0, of_body: 0, records: 0, more: false };
        if left > 0 {
            let mut to = body.room(left);
            let room = to.remaining_mut();
            received.count = ready!(pin!(self.stream.read_buf(&mut to)).poll(task))?;
            records.on_read_in_body(received.count);
            self.idle = self.idle.saturating_sub(received.count);
            if received.count < left {
                received.more = received.count == room;
                return Poll::Ready(Ok(received));
            }
        }
        // Another chunk may follow, and this should not read much of it.
        match self.poll_fill_records(false, IDLE_READ, task) {
            Poll::Ready(count) => received.count += count?,
            Poll::Pending if received.count == 0 => return Poll::Pending,
            Poll::Pending => return Poll::Ready(Ok(received)),
        }
        let Some(records) = &mut self.records else { unreachable!("the link is sealed") };
        if let Some(content) = records.open_in_body(body.buffer())? {
            let (_, others) =
                self.open_records(&mut (&mut [] as &mut [u8]), left_of_chunk - content)?;
            (received.of_body, received.records) = (content, 1 + others);
        }
        received.more = self.filled || self.has_record;
        Poll::Ready(Ok(received))
    }

    /// Reads records into their buffer, which grows if `bulk` is true: at most `at_most` bytes. Returns how many.
    fn poll_fill_records(
        &mut self,
        bulk: bool,
        at_most: usize,
        task: &mut Context<'_>,
    ) -> Poll<Result<usize, io::Error>> {
        let Some(records) = &mut self.records else { unreachable!("the link is sealed") };
        let mut to = records.room(IDLE_READ, bulk).limit(at_most);
        let room = to.remaining_mut();
        let count = ready!(pin!(self.stream.read_buf(&mut to)).poll(task))?;
        self.idle = self.idle.saturating_sub(count);
        self.filled = count == room;
        Poll::Ready(Ok(count))
    }

    /// Opens the records that were read, as [`poll_read_records`](Self::poll_read_records) describes. Returns the number
    /// of bytes that were added to the body, and the number of records.
    fn open_records(
        &mut self,
        body: &mut impl BufMut,
        left: usize,
    ) -> Result<(usize, usize), LinkError> {
        let Some(records) = &mut self.records else { unreachable!("the link is sealed") };
        let (buffer, mut of_body, mut opened) = (&mut self.buffer, 0, 0);
        self.has_record = false;
        while records.open_next(|content| {
            let part = content.len().min(body.remaining_mut());
            let (first, rest) = content.split_at(part);
            body.put_slice(first);
            buffer.extend_from_slice(rest);
            of_body += part;
        })? {
            opened += 1;
            let frames = buffer.get(left - of_body..).unwrap_or_default();
            self.has_record = records.has_record_of(DIRECT_MIN) && ends_with_chunk_start(frames);
            if self.has_record {
                break;
            }
        }
        Ok((of_body, opened))
    }

    /// Whether the body of the last [`poll_read_into`](Self::poll_read_into) contains a record that was not opened yet.
    pub(crate) fn is_in_body(&self) -> bool {
        self.records.as_ref().is_some_and(|records| records.left_in_body().is_some())
    }

    /// Frees the part of `body` that precedes the record in it. The body is no longer wanted, but the record must still be
    /// opened.
    pub(crate) fn discard_before(&mut self, body: &mut PartialBody) {
        if let Some(records) = &mut self.records {
            records.discard_before(body.buffer());
        }
    }

    /// Returns the number of bytes that were read and not opened. Zero unless a complete record is among them.
    pub(crate) fn unopened(&self) -> usize {
        self.records.as_ref().filter(|_| self.has_record).map_or(0, Records::unopened)
    }

    /// Returns the number of bytes that have arrived and were not read, if it is known.
    pub(crate) fn readable(&self) -> Option<usize> {
        self.stream.readable()
    }

    /// Takes at most [`MAX_FRAMES`] complete frames from the buffer. Also describes the remaining bytes, or
    /// returns an error if they cannot be the start of a frame. The frames are contiguous in memory, so
    /// bodies can be slices of them instead of copies.
    pub(crate) fn take_frames(&mut self) -> (Bytes, Result<Rest, Malformed>) {
        let (length, rest) = frame::complete(&self.buffer, MAX_FRAMES);
        (self.buffer.split_to(length).freeze(), rest)
    }

    /// Takes the start of a chunk from the buffer if most of the chunk is missing, so that the rest can be read
    /// into the buffer of its body. Returns its head and the part of its content that has arrived.
    /// [`take_frames`](Self::take_frames) must have taken everything before it.
    pub(crate) fn take_chunk_start(&mut self) -> Option<(ChunkStart, BytesMut)> {
        let start = direct_chunk(&self.buffer)?;
        self.buffer.advance(start.head);
        Some((start, self.buffer.split()))
    }

    /// Takes at most `count` bytes from the start of the buffer.
    pub(crate) fn take(&mut self, count: usize) -> BytesMut {
        self.buffer.split_to(count.min(self.buffer.len()))
    }

    /// Frees the memory of buffers that are empty. On an idle link, they are also freed whenever it waits for bytes,
    /// until [`IDLE_BYTES`] have arrived.
    pub(crate) fn shrink(&mut self, is_idle: bool) {
        self.idle = if is_idle { IDLE_BYTES } else { 0 };
        if self.buffer.is_empty() && self.buffer.capacity() > IDLE_READ {
            self.buffer = BytesMut::new();
        }
        if let Some(records) = &mut self.records {
            records.shrink(IDLE_READ);
        }
    }

    /// Whether the link is idle: it was when [`shrink`](Self::shrink) was last called, and few bytes have arrived since.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle > 0
    }

    /// Waits for bytes, with as little memory as possible.
    #[cold]
    fn poll_idle(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        if let Some(records) = &mut self.records {
            records.free();
        }
        self.stream.poll_readable(task)
    }

    /// Whether everything that was received, except the start of a record, was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && !self.has_record
    }

    /// Waits until the peer has closed its end too, or has been silent for `idle_timeout`. If this
    /// end closed the connection earlier, it would respond to the peer's next ping with a reset, and
    /// data still in flight to the peer would be lost.
    pub(crate) async fn linger(&mut self, idle_timeout: Duration) {
        let mut discarded = [0; 1024];
        let until_closed = async {
            let mut read =
                async || tokio::time::timeout(idle_timeout, self.stream.read(&mut discarded)).await;
            while matches!(read().await, Ok(Ok(count)) if count > 0) {}
        };
        // The connection is closed next, even after a timeout.
        let _ = tokio::time::timeout(LINGER_MAX, until_closed).await;
    }

    /// Makes room for the next read. Returns how many bytes it may read.
    fn make_room(&mut self) -> usize {
        if self.buffer.is_empty() && self.buffer.capacity() > READ_MAX {
            self.buffer = BytesMut::new();
        }
        let spare = self.buffer.capacity() - self.buffer.len();
        let room = if self.filled { READ_MAX } else { IDLE_READ };
        if spare < room / 2 {
            self.buffer.reserve(room);
        }
        let spare = self.buffer.capacity() - self.buffer.len();
        if self.after_chunk { spare.min(IDLE_READ) } else { spare }
    }
}

/// Returns the chunk that begins `frames`, if most of it is missing.
fn direct_chunk(frames: &[u8]) -> Option<ChunkStart> {
    let start = frame::chunk_start(frames)?;
    (start.head + start.content >= frames.len() + DIRECT_MIN).then_some(start)
}

/// Whether the complete frames are followed by the start of a chunk, and most of that chunk is missing.
fn ends_with_chunk_start(frames: &[u8]) -> bool {
    let (length, rest) = frame::complete(frames, usize::MAX);
    rest.is_ok() && direct_chunk(&frames[length..]).is_some()
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::task::noop_waker;
    use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf};

    use super::*;

    /// A stream that reports whether there is something to read.
    struct Stream(DuplexStream, BytesMut);

    impl Stream {
        fn poll_fill(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.1.is_empty() {
                self.1.reserve(1024);
                ready!(pin!(self.0.read_buf(&mut self.1)).poll(task))?;
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Stream {
        fn poll_read(
            mut self: Pin<&mut Self>,
            task: &mut Context<'_>,
            to: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            ready!(self.poll_fill(task))?;
            let count = self.1.len().min(to.remaining());
            to.put_slice(&self.1.split_to(count));
            Poll::Ready(Ok(()))
        }
    }

    impl StreamReader for Stream {
        fn poll_readable(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll_fill(task)
        }
    }

    #[tokio::test]
    async fn an_idle_link_keeps_no_buffer_while_it_waits() {
        let (mut peer, stream) = tokio::io::duplex(1 << 16);
        let stream = Box::new(Stream(stream, BytesMut::new()));
        let mut reader = FrameReader::new(stream, BytesMut::new(), None);
        let waker = noop_waker();
        let mut task = Context::from_waker(&waker);
        assert!(reader.poll_read(&mut task).is_pending());
        assert!(reader.buffer.capacity() > 0);
        for is_idle in [true, true, false] {
            reader.shrink(is_idle);
            assert!(reader.poll_read(&mut task).is_pending());
            assert_eq!(reader.buffer.capacity() == 0, is_idle);
            peer.write_all(&[0; IDLE_BYTES - 1]).await.unwrap();
            let Poll::Ready(Ok(received)) = reader.poll_read(&mut task) else {
                panic!("must read")
            };
            assert_eq!((received.count, reader.is_idle()), (IDLE_BYTES - 1, is_idle));
            drop(reader.take(IDLE_BYTES));
        }
        reader.shrink(true);
        peer.write_all(&[0; IDLE_BYTES]).await.unwrap();
        assert!(reader.poll_read(&mut task).is_ready());
        assert!(!reader.is_idle(), "more bytes than heartbeats have");
    }
}
