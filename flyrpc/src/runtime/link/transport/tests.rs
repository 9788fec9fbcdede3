use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::task::noop_waker_ref;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;
use crate::{
    env::{StreamReader, StreamWriter},
    proto::{
        link::{assembler::PartialBody, batch::Batch, bodies::NextChunk},
        seal::{
            record::{Opener, Sealer},
            records::Records,
        },
        wire::{
            frame::{self, Body, BodyOf, CHUNK, ChunkStart, Rest},
            ids::RequestId,
        },
    },
};

/// A connection that accepts all bytes, and yields as many as the reader has room for.
#[derive(Debug, Default, Clone)]
struct Pipe(Arc<Mutex<BytesMut>>);

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = self.0.lock().unwrap();
        let count = bytes.len().min(to.remaining());
        to.put_slice(&bytes.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl StreamReader for Pipe {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.lock().unwrap().is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl StreamWriter for Pipe {
    fn abort_on_close(&mut self) {}
}

const KEY: [u8; 32] = [7; 32];

fn ready<T, E>(poll: Poll<Result<T, E>>) -> T {
    match poll {
        Poll::Ready(Ok(value)) => value,
        Poll::Ready(Err(_)) | Poll::Pending => panic!("a pipe is always ready"),
    }
}

/// Both ends of a sealed connection.
struct Ends {
    writer: FrameWriter,
    reader: FrameReader,
}

impl Ends {
    fn new() -> Self {
        let pipe = Pipe::default();
        let records = Records::new(Opener::new(&KEY), Vec::new());
        Ends {
            writer: FrameWriter::new(Box::new(pipe.clone()), Some(Sealer::new(&KEY))),
            reader: FrameReader::new(Box::new(pipe), BytesMut::new(), Some(records)),
        }
    }

    /// Writes short replies of this many bytes in total.
    fn write_short(&mut self, bytes: usize) {
        let mut frames = Vec::new();
        while frames.len() < bytes {
            frame::put_reply(RequestId(0), Body::Whole(&[0; 1000]), &mut frames);
        }
        let mut batch = Batch::default();
        batch.take_frames(&mut frames);
        self.write_batch(&batch);
    }

    /// Writes a reply with one chunk.
    fn write(&mut self, number: u8) {
        let mut batch = Batch::default();
        batch.add_chunk(NextChunk {
            of: BodyOf::Reply,
            id: RequestId(number.into()),
            prefix: Bytes::from_static(&[1, 2, 3]),
            bytes: Bytes::from(vec![number; CHUNK - 3]),
            announce: Some(CHUNK as u64),
            held: None,
        });
        self.write_batch(&batch);
    }

    fn write_batch(&mut self, batch: &Batch) {
        let mut done = 0;
        while done < batch.len() {
            let task = &mut Context::from_waker(noop_waker_ref());
            done += ready(self.writer.poll_write(batch, done, task)).of_batch;
        }
    }

    fn poll_read(&mut self) -> Received {
        ready(self.reader.poll_read(&mut Context::from_waker(noop_waker_ref())))
    }

    /// Reads until the start of a chunk was received. Returns it and the part of its content that was copied.
    fn read_start(&mut self) -> (ChunkStart, BytesMut) {
        loop {
            if let Some(chunk) = self.reader.take_chunk_start() {
                return chunk;
            }
            assert!(!self.poll_read().is_end());
            assert_eq!(self.reader.take_frames().1, Ok(Rest::Incomplete));
        }
    }

    /// Reads the rest of a chunk into its body, and checks the content.
    fn read_rest(&mut self, number: u8, start: BytesMut) {
        let mut left = CHUNK - start.len();
        let mut body = PartialBody::new(CHUNK as u64, Vec::new());
        body.put(&start, left).unwrap();
        while left > 0 {
            let task = &mut Context::from_waker(noop_waker_ref());
            let received = ready(self.reader.poll_read_into(&mut body, left, task));
            assert!(!received.is_end());
            left -= received.of_body;
            assert!(received.count > 0 || received.more, "the socket was not read");
        }
        assert!(!self.reader.is_in_body());
        let expected = [&[1, 2, 3][..], &[number; CHUNK - 3]].concat();
        assert!(body.into_buffer() == expected, "the content of body {number} differs");
        assert_eq!(self.reader.take_frames().1, Ok(Rest::Incomplete));
    }
}

#[test]
fn most_of_a_chunk_on_a_sealed_link_is_opened_into_its_body() {
    const BODIES: u8 = 8;
    let mut ends = Ends::new();
    (0..BODIES).for_each(|number| ends.write(number));
    for number in 0..BODIES {
        let (start, body) = ends.read_start();
        assert_eq!((start.id, start.content), (RequestId(number.into()), CHUNK));
        assert!(body.len() <= CHUNK / 32, "{} bytes were copied", body.len());
        ends.read_rest(number, body);
    }
    while !ends.poll_read().is_end() {}
}

#[test]
fn a_link_with_an_unopened_record_does_not_wait_for_the_socket() {
    let mut ends = Ends::new();
    // The room for records grows until one read receives the last short replies, the start of a chunk, and its rest.
    ends.write_short(200 << 10);
    ends.write(1);
    ends.read_start();
    assert!(
        ends.reader.unopened() > CHUNK / 2,
        "no read received the start of a chunk and its rest"
    );
    assert!(!ends.reader.is_empty());
    ends.reader.shrink(true);
    // As if the body were no longer wanted.
    let received = ends.poll_read();
    assert_eq!((received.count, received.records), (0, 1));
    assert!(received.more, "the socket was not read");
    assert_eq!(ends.reader.unopened(), 0);
}

/// A connection that accepts one byte at a time.
struct Slow(Pipe);

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(task, &bytes[..1])
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl StreamWriter for Slow {
    fn abort_on_close(&mut self) {}
}

#[test]
fn bytes_of_a_sealed_batch_count_as_sent_with_the_last_byte_of_their_record() {
    let mut writer = FrameWriter::new(Box::new(Slow(Pipe::default())), Some(Sealer::new(&KEY)));
    let mut batch = Batch::default();
    batch.take_frames(&mut vec![7; 100]);
    let mut written = 0;
    let mut sent = 0;
    while sent == 0 {
        let task = &mut Context::from_waker(noop_waker_ref());
        let Written { count, of_batch } = ready(writer.poll_write(&batch, 0, task));
        written += count;
        sent += of_batch;
    }
    // A length of 2 bytes, and a tag of 16 bytes.
    assert_eq!((written, sent), (2 + 100 + 16, 100));
}
