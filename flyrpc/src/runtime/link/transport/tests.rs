use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::task::noop_waker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;
use crate::{
    env::{StreamReader, StreamWriter},
    proto::{
        link::{batch::Batch, bodies::NextChunk},
        seal::record::{Opener, Records, Sealer},
        wire::{
            frame::{BodyOf, CHUNK, Rest},
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

impl StreamReader for Pipe {}

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

#[test]
fn most_of_a_chunk_on_a_sealed_link_is_opened_into_its_body() {
    const BODIES: u8 = 8;
    let waker = noop_waker();
    let task = &mut Context::from_waker(&waker);
    let pipe = Pipe::default();
    let mut writer = FrameWriter::new(Box::new(pipe.clone()), Some(Sealer::new(&KEY)));
    for number in 0..BODIES {
        let mut batch = Batch::default();
        batch.add_chunk(NextChunk {
            of: BodyOf::Reply,
            id: RequestId(number.into()),
            prefix: Bytes::from_static(&[1, 2, 3]),
            bytes: Bytes::from(vec![number; CHUNK - 3]),
            announce: Some(CHUNK as u64),
            held: None,
        });
        let mut done = 0;
        while done < batch.len() {
            done += ready(writer.poll_write(&batch, done, task)).of_batch;
        }
    }

    let records = Records::new(Opener::new(&KEY), Vec::new());
    let mut reader = FrameReader::new(Box::new(pipe), BytesMut::new(), Some(records));
    let mut left_unopened = false;
    for number in 0..BODIES {
        let (start, mut body) = loop {
            if let Some(chunk) = reader.take_chunk_start() {
                break chunk;
            }
            let received = ready(reader.poll_read(task));
            assert!(!received.is_end());
            left_unopened |= reader.unopened() > 0;
            assert!(reader.unopened() == 0 || received.more);
            assert_eq!(reader.take_frames().1, Ok(Rest::Incomplete));
        };
        assert_eq!((start.id, start.content), (RequestId(number.into()), CHUNK));
        assert!(body.len() <= CHUNK / 32, "{} bytes were copied", body.len());
        while body.len() < CHUNK {
            let before = body.len();
            let received =
                ready(reader.poll_read_into(&mut (&mut body).limit(CHUNK - before), task));
            assert!(!received.is_end());
            assert_eq!(received.of_body, body.len() - before);
        }
        let expected = [&[1, 2, 3][..], &[number; CHUNK - 3]].concat();
        assert!(body == expected, "the content of body {number} differs");
        assert_eq!(reader.take_frames().1, Ok(Rest::Incomplete));
    }
    assert!(left_unopened, "no read received the start of a chunk and its next record");
    assert!(ready(reader.poll_read(task)).is_end());
}
