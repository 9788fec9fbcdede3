//! The attacker's end of a link.

use std::net::SocketAddr;

use flyrpc_tests::frames::{Hello, PREFACE, frame, kind, read_varint};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::Result;

/// A link of the attacker, which encodes frames itself, so that it can break every rule. On all links, the
/// attacker is the same peer.
pub(crate) struct RawLink {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl RawLink {
    /// Connects, exchanges hellos, and answers the node's hello as a ping.
    pub(crate) async fn open(addr: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(addr).await?;
        let (name, boot) = ("flood".to_owned(), 7);
        stream.write_all(&Hello { name, boot, ..Hello::default() }.encode()).await?;
        let mut link = RawLink { stream, received: Vec::new() };
        while link.received.len() < PREFACE.len() + 3 {
            link.stream.read_buf(&mut link.received).await?;
        }
        link.received.drain(..PREFACE.len());
        Ok(link)
    }

    /// Answers pings until the node ends the link.
    pub(crate) async fn answer_pings(&mut self) -> Result<()> {
        loop {
            self.answer_some_pings()?;
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Answers the pings that have been received, and discards all other frames.
    pub(crate) fn answer_some_pings(&mut self) -> Result<()> {
        let mut buffer = [0; 64 << 10];
        while let Ok(count @ 1..) = self.stream.try_read(&mut buffer) {
            self.received.extend_from_slice(&buffer[..count]);
        }
        let mut done = 0;
        while let Some((frame_at, end)) = next_frame(&self.received[done..]) {
            let content = &self.received[done + frame_at..done + end];
            if let Some((&kind::PING, mut numbers)) = content.split_first()
                && let Some(stamp) = read_varint(&mut numbers)
            {
                let _ = self.stream.try_write(&frame(kind::PONG, &[stamp, 0], b""));
            }
            done += end;
        }
        self.received.drain(..done);
        Ok(())
    }
}

/// Returns the start and end of the first frame without its length, if it is complete.
fn next_frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut rest = bytes;
    let length = read_varint(&mut rest)? as usize;
    let start = bytes.len() - rest.len();
    (rest.len() >= length).then_some((start, start + length))
}
