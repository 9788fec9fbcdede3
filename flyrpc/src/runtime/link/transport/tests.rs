use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{self, Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::task::noop_waker_ref;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
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
            frame::{self, Body, BodyOf, CHUNK, ChunkStart, Frame, Rest},
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
    pipe: Pipe,
    writer: FrameWriter,
    reader: FrameReader,
}

impl Ends {
    fn new() -> Self {
        let pipe = Pipe::default();
        let records = Records::new(Opener::new(&KEY), Vec::new());
        Ends {
            writer: FrameWriter::new(Box::new(pipe.clone()), Some(Sealer::new(&KEY))),
            reader: FrameReader::new(Box::new(pipe.clone()), BytesMut::new(), Some(records)),
            pipe,
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

#[test]
fn the_record_after_the_start_of_a_long_chunk_ends_with_the_chunk() {
    let mut ends = Ends::new();
    let mut batch = Batch::default();
    for id in [1, 2] {
        batch.add_chunk(NextChunk {
            of: BodyOf::Request,
            id: RequestId(id),
            prefix: Bytes::new(),
            bytes: Bytes::from(vec![7; CHUNK]),
            announce: None,
            held: None,
        });
    }
    ends.write_batch(&batch);
    let mut records = Records::new(Opener::new(&KEY), ends.pipe.0.lock().unwrap().to_vec());
    let mut lengths = Vec::new();
    while records.open_next(|content| lengths.push(content.len())).unwrap() {}
    let mut head = Vec::new();
    frame::put_chunk_head(BodyOf::Request, RequestId(1), CHUNK, &mut head);
    let start = head.len() + 1024;
    assert_eq!(lengths, [start, CHUNK - 1024, start, CHUNK - 1024]);
}

/// A connection on which bytes arrive in pieces, each after a read that had to wait.
#[derive(Debug, Clone)]
struct Pieces(Arc<Mutex<Arriving>>);

#[derive(Debug)]
struct Arriving {
    bytes: BytesMut,
    /// How many of them can be read.
    available: usize,
    /// How often a read had to wait.
    waits: usize,
}

impl Pieces {
    /// Waits until bytes can be read, or the stream has ended.
    fn poll_available(&self) -> Poll<MutexGuard<'_, Arriving>> {
        let mut arriving = self.0.lock().unwrap();
        if arriving.available == 0 && !arriving.bytes.is_empty() {
            arriving.waits += 1;
            return Poll::Pending;
        }
        Poll::Ready(arriving)
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        assert!(to.remaining() > 0, "a read without room");
        let mut arriving = task::ready!(self.poll_available());
        let count = arriving.available.min(to.remaining());
        arriving.available -= count;
        to.put_slice(&arriving.bytes.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl StreamReader for Pieces {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_available().map(|_| Ok(()))
    }
}

/// Bodies in a stream of records, and where the records end.
fn bodies_in_records(random: &mut SmallRng) -> (Vec<Vec<u8>>, BytesMut, Vec<usize>) {
    let (mut frames, mut bodies) = (Vec::new(), Vec::new());
    for id in 0..8 {
        let around = [9_000, 40_000, CHUNK - 50, CHUNK + 500, 2 * CHUNK - 50, 200_000];
        let size = around[random.random_range(0..around.len())] + random.random_range(0..100);
        let body: Vec<u8> = (0..size).map(|_| random.random()).collect();
        frame::put_reply(RequestId(id), Body::Chunked(size as u64), &mut frames);
        for chunk in body.chunks(CHUNK) {
            frame::put_chunk_head(BodyOf::Reply, RequestId(id), chunk.len(), &mut frames);
            frames.extend_from_slice(chunk);
            for _ in 0..random.random_range(0..3) {
                frame::put_reply(RequestId(99), Body::Whole(&[5; 300]), &mut frames);
            }
        }
        bodies.push(body);
    }
    // Records of other senders than ours end anywhere.
    let mut sealer = Sealer::new(&KEY);
    let (mut stream, mut ends) = (Vec::new(), Vec::new());
    let mut rest = &frames[..];
    let longest = [1_100, 12_000, 64_512, 65_519];
    while !rest.is_empty() {
        let longest: usize = longest[random.random_range(0..longest.len())];
        let length = random.random_range(1..=longest);
        let (content, after) = rest.split_at(length.min(rest.len()));
        sealer.seal(content, &mut stream);
        ends.push(stream.len());
        rest = after;
    }
    (bodies, BytesMut::from(&stream[..]), ends)
}

/// Receives bodies as the reader of a link does, except that it gives some of them up. Returns how many records were
/// incomplete in a body.
fn receive_in_pieces(seed: u64) -> usize {
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let (bodies, stream, ends) = bodies_in_records(&mut random);
    let total = stream.len();
    let arriving = Arriving { bytes: stream, available: 0, waits: 0 };
    let pieces = Pieces(Arc::new(Mutex::new(arriving)));
    let records = Records::new(Opener::new(&KEY), Vec::new());
    let mut reader = FrameReader::new(Box::new(pieces.clone()), BytesMut::new(), Some(records));
    let mut expected: BTreeMap<u64, PartialBody> = BTreeMap::new();
    let mut chunk: Option<(u64, usize)> = None;
    let mut in_body: Option<PartialBody> = None;
    let mut complete = BTreeMap::new();
    let mut given_up = BTreeSet::new();
    let (mut counted, mut in_bodies) = (0, 0);
    let task = &mut Context::from_waker(noop_waker_ref());
    loop {
        if let Some((id, _)) = chunk
            && random.random_range(0..200) == 0
        {
            expected.remove(&id);
            given_up.insert(id);
        }
        let waits = pieces.0.lock().unwrap().waits;
        let body = in_body.take().or_else(|| expected.remove(&chunk?.0));
        let read = match (body, chunk) {
            (Some(mut body), Some((id, left))) => {
                let read = reader.poll_read_into(&mut body, left, task);
                let is_wanted = !given_up.contains(&id);
                if reader.is_in_body() {
                    in_bodies += 1;
                    if !is_wanted {
                        reader.discard_before(&mut body);
                    }
                    in_body = Some(body);
                } else if is_wanted {
                    expected.insert(id, body);
                }
                read
            }
            _ => reader.poll_read(task),
        };
        let mut arriving = pieces.0.lock().unwrap();
        let Poll::Ready(received) = read else {
            assert!(arriving.waits > waits && arriving.available == 0, "no waker is registered");
            let longest = [20, 1_500, 9_000, 66_000, 300_000][random.random_range(0..5)];
            let piece = random.random_range(1..=longest);
            let received = total - arriving.bytes.len();
            // Often until a record ends, or shortly before that.
            let end = ends[ends.partition_point(|end| *end <= received)];
            let until_end = (end - received).saturating_sub(random.random_range(0..19)).max(1);
            let piece = if random.random_range(0..3) == 0 { until_end } else { piece };
            arriving.available = piece.min(arriving.bytes.len());
            continue;
        };
        let received = received.unwrap();
        counted += received.count;
        if received.is_end() {
            break;
        }
        let is_empty = arriving.available == 0 && reader.unopened() == 0;
        drop(arriving);
        assert!(received.more || is_empty, "more can be read");
        if let Some((id, left)) = chunk {
            let part = reader.take(left - received.of_body);
            let left = left - received.of_body - part.len();
            chunk = (left > 0).then_some((id, left));
            put(&mut expected, &mut complete, id, &part, left);
        }
        loop {
            let (frames, rest) = reader.take_frames();
            let mut done = 0;
            while let Some((frame, length)) = frame::split(&frames[done..]).unwrap() {
                match frame::decode(frame).unwrap() {
                    Frame::Reply { id, body: Body::Chunked(size) } => {
                        expected.insert(id.0, PartialBody::new(size, Vec::new()));
                    }
                    Frame::Reply { body: Body::Whole(body), .. } => assert_eq!(body, [5; 300]),
                    Frame::Chunk { id, bytes, .. } => {
                        put(&mut expected, &mut complete, id.0, bytes, 0);
                    }
                    other => panic!("{other:?}"),
                }
                done += length;
            }
            if rest.unwrap() == Rest::Incomplete {
                break;
            }
        }
        if let Some((start, part)) = reader.take_chunk_start() {
            let left = start.content - part.len();
            chunk = Some((start.id.0, left));
            put(&mut expected, &mut complete, start.id.0, &part, left);
        }
    }
    assert_eq!(counted, total);
    for (id, body) in (0..).zip(bodies) {
        let arrived = complete.remove(&id);
        assert!(arrived.is_some() || given_up.contains(&id), "body {id} of seed {seed} is missing");
        assert!(arrived.is_none_or(|arrived| arrived == body), "body {id} of seed {seed} differs");
    }
    in_bodies
}

/// Puts a part of a chunk into its body, and moves the body if it is complete then.
fn put(
    expected: &mut BTreeMap<u64, PartialBody>,
    complete: &mut BTreeMap<u64, Vec<u8>>,
    id: u64,
    part: &[u8],
    left: usize,
) {
    let Some(body) = expected.get_mut(&id) else { return };
    body.put(part, left).unwrap();
    if left == 0 && body.is_complete() {
        complete.extend(expected.remove(&id).map(|body| (id, body.into_buffer())));
    }
}

#[test]
fn bodies_arrive_in_pieces_of_any_size_and_some_are_given_up() {
    let in_bodies: usize = (0..40).map(receive_in_pieces).sum();
    assert!(in_bodies > 100, "{in_bodies} reads ended within a record in a body");
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
