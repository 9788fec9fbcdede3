//! The minimum cost: frames on a TCP connection, without deadlines, tasks per call, or names.
//!
//! A frame consists of its length (4 bytes), an id (8 bytes) and a body. The highest bit of the id selects
//! the function: `echo` if it is set, `upcase` otherwise. Callers share the connection. Each appends its
//! frame to a buffer, and waits on a oneshot in a map. One task writes, and one reads. The server replies
//! in its read loop, and writes once for everything that it has read.
//!
//! There are two variants. The plain one writes as soon as its writer is woken. `BATCHED` yields once
//! before it writes, as flyrpc's writer does, so that there are fewer writes. That is the limit for any
//! design of this kind.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, oneshot},
    task,
};

use super::{Contender, Served, Setup, accept};
use crate::handlers::{self, Record};

const ECHO: u64 = 1 << 63;
const LENGTH: usize = size_of::<u32>();
const ID: usize = size_of::<u64>();

/// Size of the read buffer, as in tarpc's transport. With a larger buffer, more of each large frame is
/// copied.
const BUFFER: usize = 8 << 10;

/// Bodies of at least this many bytes are written from where they are, rather than copied.
const LARGE: usize = 16 << 10;

#[derive(Clone)]
pub(crate) struct Raw<const BATCHED: bool>(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Notified when there is something to write.
    written: Notify,
}

#[derive(Default)]
struct State {
    out: Outbox,
    waiting: HashMap<u64, oneshot::Sender<Bytes>>,
    last: u64,
}

impl<const BATCHED: bool> Contender for Raw<BATCHED> {
    type Record = Record;

    async fn serve(setup: &Setup) -> Result<Served> {
        accept(setup, serve_connection).await
    }

    async fn connect(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let raw = Raw(Arc::new(Shared { state: Mutex::default(), written: Notify::new() }));
        tokio::spawn(raw.clone().complete(reader));
        tokio::spawn(raw.clone().write(writer));
        Ok(raw)
    }

    async fn upcase(&self, text: String) -> Result<String> {
        let reply = self.call(0, text.into()).await?;
        Ok(String::from_utf8(reply.into())?)
    }

    async fn echo(&self, body: Bytes) -> Result<Bytes> {
        self.call(ECHO, body).await
    }

    async fn echo_records(&self, _records: Vec<Record>) -> Result<Vec<Record>> {
        bail!("raw bodies are bytes")
    }

    async fn pause(&self, _micros: u32) -> Result<()> {
        bail!("raw handlers run in the read loop, which must not wait")
    }

    async fn burn(&self, _micros: u32) -> Result<()> {
        bail!("raw handlers run in the read loop, which must not compute")
    }
}

impl<const BATCHED: bool> Raw<BATCHED> {
    async fn call(&self, function: u64, body: Bytes) -> Result<Bytes> {
        let (sender, reply) = oneshot::channel();
        let was_empty = {
            let mut state = self.state();
            state.last += 1;
            let id = state.last | function;
            state.waiting.insert(id, sender);
            let was_empty = state.out.is_empty();
            state.out.push(id, body);
            was_empty
        };
        if was_empty {
            self.0.written.notify_one();
        }
        reply.await.context("the connection was lost")
    }

    async fn write(self, mut writer: OwnedWriteHalf) -> io::Result<()> {
        let mut out = Outbox::default();
        loop {
            self.0.written.notified().await;
            if BATCHED {
                // Lets callers that are ready append their frames first.
                task::yield_now().await;
            }
            std::mem::swap(&mut out, &mut self.state().out);
            out.write(&mut writer).await?;
        }
    }

    async fn complete(self, mut reader: OwnedReadHalf) {
        let mut read = BytesMut::with_capacity(BUFFER);
        while let Ok(1..) = fill(&mut reader, &mut read).await {
            let mut state = self.state();
            while let Some((id, body)) = next(&mut read) {
                if let Some(waiting) = state.waiting.remove(&id) {
                    let _ = waiting.send(body);
                }
            }
        }
        // Callers that still wait receive an error.
        self.state().waiting.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve_connection(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = BytesMut::with_capacity(BUFFER);
    let mut out = Outbox::default();
    while fill(&mut stream, &mut read).await? > 0 {
        while let Some((id, body)) = next(&mut read) {
            if id & ECHO != 0 {
                out.push(id, body);
            } else {
                let text = str::from_utf8(&body).map_err(io::Error::other)?;
                out.push(id, handlers::upcase(text).into());
            }
        }
        out.write(&mut stream).await?;
    }
    Ok(())
}

/// Reads once, with room for at least the rest of the current frame.
async fn fill(from: &mut (impl AsyncReadExt + Unpin), into: &mut BytesMut) -> io::Result<usize> {
    let missing = length(into).map_or(0, |length| LENGTH + length - into.len());
    into.reserve(missing.max(BUFFER / 4));
    from.read_buf(into).await
}

/// Takes the next frame from the buffer, if it is complete.
fn next(read: &mut BytesMut) -> Option<(u64, Bytes)> {
    let length = length(read).filter(|length| read.len() >= LENGTH + length)?;
    let mut frame = read.split_to(LENGTH + length).freeze();
    frame.advance(LENGTH);
    let id = frame.get_u64();
    Some((id, frame))
}

fn length(read: &[u8]) -> Option<usize> {
    Some(u32::from_be_bytes(*read.first_chunk()?) as usize)
}

/// Frames to be written.
#[derive(Default)]
struct Outbox {
    small: Vec<u8>,
    /// Bodies that were not copied, each with the offset in `small` at which it is written.
    large: Vec<(usize, Bytes)>,
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.small.is_empty()
    }

    fn push(&mut self, id: u64, body: Bytes) {
        self.small.put_u32(u32::try_from(ID + body.len()).expect("a body is shorter than 4 GiB"));
        self.small.put_u64(id);
        if body.len() < LARGE {
            self.small.put_slice(&body);
        } else {
            self.large.push((self.small.len(), body));
        }
    }

    /// Writes all frames, and leaves the outbox empty.
    async fn write(&mut self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut from = 0;
        for (at, body) in self.large.drain(..) {
            to.write_all_buf(&mut Buf::chain(&self.small[from..at], body)).await?;
            from = at;
        }
        to.write_all(&self.small[from..]).await?;
        self.small.clear();
        Ok(())
    }
}
