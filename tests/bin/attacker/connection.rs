//! The connections of the attacker: what it sends, and how it responds to what it receives.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use flyrpc_tests::frames::{Hello, PREFACE, frame, kind, read_varint, take_frame};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    Result,
    noise::{Initiator, Key, Records},
};

/// Upper bound on the duration of a connection.
const MAX_TIME: Duration = Duration::from_secs(2);

/// What the attacker sends on a connection that it opens.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A hello that is sealed with a key, and frames in records if the node accepts it.
    Sealed { key: Key, hello: Vec<u8>, frames: Vec<u8> },
}

impl Script {
    /// A hello followed by frames, sealed with the key if there is one.
    pub(crate) fn new(hello: &Hello, key: Option<&Key>, frames: &[u8]) -> Self {
        match key {
            None => Script::Bytes([&hello.encode(), frames].concat()),
            Some(key) => {
                let hello = hello.payload();
                Script::Sealed { key: key.clone(), hello, frames: frames.to_vec() }
            }
        }
    }

    /// Runs on a new connection, until the node has sent nothing for the time `patience` or ended it. Returns the number of
    /// replies to calls.
    ///
    /// # Errors
    ///
    /// If the node does not accept the connection.
    pub(crate) async fn run(&self, target: SocketAddr, patience: Duration) -> Result<u64> {
        let mut connection = Connection::new(TcpStream::connect(target).await?);
        let first = match self {
            Script::Bytes(bytes) => bytes.clone(),
            Script::Sealed { key, hello, frames } => {
                let (initiator, seal) = Initiator::start(key, hello)?;
                connection.seal = Seal::Offered(Box::new(initiator), frames.clone());
                [PREFACE, &frame(kind::SEAL, &[], &seal)].concat()
            }
        };
        // The node ends the connection at any time.
        match connection.stream.write_all(&first).await {
            Ok(()) => connection.converse(patience).await,
            Err(_) => Ok(0),
        }
    }
}

/// Answers the first bytes on a connection of a node with `answer`. Then continues like [`Script::run`].
pub(crate) async fn answer(stream: TcpStream, answer: &[u8], patience: Duration) -> Result<u64> {
    let mut connection = Connection::new(stream);
    let mut first = [0; 4096];
    let _ = timeout(MAX_TIME, connection.stream.read(&mut first)).await?;
    connection.stream.write_all(answer).await?;
    connection.converse(patience).await
}

struct Connection {
    stream: TcpStream,
    start: Instant,
    has_preface: bool,
    received: Vec<u8>,
    /// The contents of the records that were received.
    opened: Vec<u8>,
    seal: Seal,
    replies: u64,
}

enum Seal {
    Open,
    /// A seal was sent. These frames follow in records.
    Offered(Box<Initiator>, Vec<u8>),
    Agreed(Box<Records>),
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Connection {
            stream,
            start: Instant::now(),
            has_preface: false,
            received: Vec::new(),
            opened: Vec::new(),
            seal: Seal::Open,
            replies: 0,
        }
    }

    async fn converse(mut self, patience: Duration) -> Result<u64> {
        while self.start.elapsed() < MAX_TIME {
            match timeout(patience, self.stream.read_buf(&mut self.received)).await {
                Ok(Ok(1..)) => {}
                // The node ends the connection at any time.
                Ok(_) | Err(_) => break,
            }
            if self.handle().await.is_err() {
                break;
            }
        }
        Ok(self.replies)
    }

    /// Handles what was received: completes the handshake, responds to pings, and counts replies.
    async fn handle(&mut self) -> Result<()> {
        if !self.has_preface {
            if self.received.len() < PREFACE.len() {
                return Ok(());
            }
            self.received.drain(..PREFACE.len());
            self.has_preface = true;
        }
        if let Seal::Offered(..) = self.seal {
            let Some((kind, payload)) = take_frame(&mut self.received) else { return Ok(()) };
            self.on_first_frame(kind, &payload).await?;
        }
        match &mut self.seal {
            Seal::Agreed(records) => {
                while let Some(content) = records.open(&mut self.received)? {
                    self.opened.extend(content);
                }
            }
            _ => self.opened.append(&mut self.received),
        }
        while let Some((kind, payload)) = take_frame(&mut self.opened) {
            match kind {
                kind::PING => {
                    let echo = read_varint(&mut &payload[..]).unwrap_or_default();
                    let now = self.start.elapsed().as_micros() as u64;
                    self.send(&frame(kind::PONG, &[echo, now], b"")).await?;
                }
                kind::REPLY | kind::LONG_REPLY => self.replies += 1,
                _ => {}
            }
        }
        Ok(())
    }

    async fn on_first_frame(&mut self, kind: u8, payload: &[u8]) -> Result<()> {
        match std::mem::replace(&mut self.seal, Seal::Open) {
            Seal::Offered(initiator, frames) if kind == kind::SEAL => {
                self.seal = Seal::Agreed(Box::new(initiator.finish(payload)?));
                // The link is open once a record was authentic.
                let pong = frame(kind::PONG, &[0, 0], b"");
                self.send(&[pong, frames].concat()).await
            }
            _ => Ok(()),
        }
    }

    /// Sends frames, in records if a seal was agreed on.
    async fn send(&mut self, frames: &[u8]) -> Result<()> {
        match &mut self.seal {
            Seal::Agreed(records) => {
                let records = records.seal(frames)?;
                self.stream.write_all(&records).await?;
            }
            _ => self.stream.write_all(frames).await?,
        }
        Ok(())
    }
}
