//! The ways to flood a node.

use std::net::SocketAddr;

use flyrpc_tests::frames::{CHUNKED, FIRST_METHOD, PREFACE, frame, kind, pack, varint};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_bytes::ByteBuf;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Result, raw_link::RawLink};

/// Indices of methods. The first indices belong to the internal service.
const REGION: u64 = 0;
const ECHO: u64 = FIRST_METHOD;
const SLOW: u64 = FIRST_METHOD + 1;
const LARGE: u64 = FIRST_METHOD + 2;

const NO_ARGUMENTS: &[(&str, ())] = &[];

/// The kind of a frame that a node ignores.
const VOID: u8 = 0;

/// In microseconds.
const MINUTE: u64 = 60_000_000;

/// A way to flood a node.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) connections: usize,
    pub(crate) run: fn(SocketAddr) -> BoxFuture<'static, Result<()>>,
}

macro_rules! attacks {
    ($($name:literal, $connections:literal, $run:ident;)*) => {
        pub(crate) const ATTACKS: &[Attack] = &[$(Attack {
            name: $name,
            connections: $connections,
            run: |addr| Box::pin($run(addr)),
        }),*];
    };
}

attacks! {
    "announcements", 2, announcements;
    "long bodies", 2, long_bodies;
    "begun bodies", 1, begun_bodies;
    "slow calls", 2, slow_calls;
    "refused calls", 2, refused_calls;
    "held requests", 2, held_requests;
    "small frames", 2, small_frames;
    "pings", 2, pings;
    "states", 2, states;
    "replies", 1, unexpected_replies;
    "unread replies", 2, unread_replies;
    "unread bulk", 2, unread_bulk;
    "canceled bulk", 2, canceled_bulk;
    "internal", 1, internal_calls;
    "links", 32, links;
    "hellos", 300, hellos;
}

async fn announcements(addr: SocketAddr) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    let flood = (0..9_000).flat_map(|id| announced(id, 20_000)).collect::<Vec<_>>();
    link.stream.write_all(&flood).await?;
    link.answer_pings().await
}

async fn long_bodies(addr: SocketAddr) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    let flood = (0..8).flat_map(|id| announced(id, 32 << 20)).collect::<Vec<_>>();
    link.stream.write_all(&flood).await?;
    link.answer_pings().await
}

async fn begun_bodies(addr: SocketAddr) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    for id in 0..10_000 {
        let chunk = frame(kind::REQUEST_CHUNK, &[id], &[7; 20_000]);
        link.stream.write_all(&[announced(id, 32 << 20), chunk].concat()).await?;
        link.answer_some_pings()?;
    }
    link.answer_pings().await
}

async fn slow_calls(addr: SocketAddr) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    let flood = (0..9_000).flat_map(|id| request(id, SLOW, &[("millis", 60_000)]));
    link.stream.write_all(&flood.collect::<Vec<_>>()).await?;
    link.answer_pings().await
}

/// Slow calls without a pause. Nearly all of them are refused.
async fn refused_calls(addr: SocketAddr) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    for first in (0..).step_by(1_000) {
        let calls = (first..first + 1_000).flat_map(|id| request(id, SLOW, &[("millis", 60_000)]));
        link.stream.write_all(&calls.collect::<Vec<_>>()).await?;
        link.answer_some_pings()?;
    }
    Ok(())
}

async fn held_requests(addr: SocketAddr) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    // Each request is followed by enough bytes to fill a read buffer, which the request must not pin.
    let filler = frame(VOID, &[], &[0; 250_000]);
    let pong = frame(kind::PONG, &[1, 1], b"");
    for id in 0.. {
        let request = request(id, ECHO, &[("body", ByteBuf::from([7]))]);
        link.stream.write_all(&[&request[..], &pong, &filler].concat()).await?;
    }
    Ok(())
}

async fn small_frames(addr: SocketAddr) -> Result<()> {
    flood_of(addr, &frame(kind::CANCEL, &[7], b"").repeat(100_000)).await
}

async fn pings(addr: SocketAddr) -> Result<()> {
    flood_of(addr, &frame(kind::PING, &[1, 1], b"").repeat(10_000)).await
}

/// Announcements of a state that differs from the previous one.
async fn states(addr: SocketAddr) -> Result<()> {
    #[derive(Serialize)]
    struct State {
        accepting: bool,
        draining: bool,
        primary_region: &'static str,
        withdrawn: Vec<String>,
    }
    let state = |accepting, primary_region| {
        let withdrawn = (0..100).map(|number| format!("S{number}")).collect();
        let state = pack(&State { accepting, draining: false, primary_region, withdrawn });
        let mut payload = Vec::new();
        varint(3 << 1, &mut payload);
        varint(state.len() as u64, &mut payload);
        frame(kind::STATE, &[], &[payload, state].concat())
    };
    flood_of(addr, &[state(true, "iad"), state(false, "hkg")].concat().repeat(100)).await
}

async fn unexpected_replies(addr: SocketAddr) -> Result<()> {
    let mut flood = frame(kind::REPLY, &[1 << 40], b"").repeat(50_000);
    for id in 1..1_000 {
        flood.extend(frame(kind::LONG_REPLY, &[id, 32 << 20], b""));
        flood.extend(frame(kind::REPLY_CHUNK, &[id], &[7; 1_000]));
    }
    flood_of(addr, &flood).await
}

async fn unread_replies(addr: SocketAddr) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    // The hello of the node has been answered, so the first requests start.
    for id in 0.. {
        let body = ByteBuf::from([7; 14 << 10]);
        link.stream.write_all(&request(id, ECHO, &[("body", body)])).await?;
    }
    Ok(())
}

async fn unread_bulk(addr: SocketAddr) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    for first in (0..).step_by(100) {
        let calls = (first..first + 100).flat_map(|id| request(id, LARGE, &[("bytes", 1 << 20)]));
        link.stream.write_all(&calls.collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// Requests for long replies, each canceled right after it was sent.
async fn canceled_bulk(addr: SocketAddr) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    for first in (0..).step_by(100) {
        let calls = (first..first + 100).flat_map(|id| {
            [request(id, LARGE, &[("bytes", 1 << 20)]), frame(kind::CANCEL, &[id], b"")].concat()
        });
        link.stream.write_all(&calls.collect::<Vec<_>>()).await?;
        link.answer_some_pings()?;
    }
    Ok(())
}

async fn internal_calls(addr: SocketAddr) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    for first in (0..).step_by(1_000) {
        let calls = (first..first + 1_000).flat_map(|id| request(id, REGION, NO_ARGUMENTS));
        link.stream.write_all(&calls.collect::<Vec<_>>()).await?;
        link.answer_some_pings()?;
    }
    Ok(())
}

async fn links(addr: SocketAddr) -> Result<()> {
    RawLink::open(addr).await?.answer_pings().await
}

async fn hellos(addr: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    let hello = frame(kind::HELLO, &[1, 1], &vec![0; 512 << 10]);
    let begun = [PREFACE, &hello[..hello.len() - 1]].concat();
    stream.write_all(&begun).await?;
    let _ = stream.read(&mut [0; 64]).await?;
    Ok(())
}

/// Sends these frames again and again, and answers pings.
async fn flood_of(addr: SocketAddr, frames: &[u8]) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    loop {
        link.stream.write_all(frames).await?;
        link.answer_some_pings()?;
    }
}

/// Returns a request to `ECHO` that announces a body of `size` bytes.
fn announced(id: u64, size: u64) -> Vec<u8> {
    frame(kind::REQUEST, &[id, ECHO, CHUNKED, 0, MINUTE, size], b"")
}

/// Returns a request with these arguments.
fn request<T: Serialize>(id: u64, method: u64, arguments: &[(&str, T)]) -> Vec<u8> {
    let arguments: std::collections::BTreeMap<_, _> =
        arguments.iter().map(|(name, value)| (name, value)).collect();
    frame(kind::REQUEST, &[id, method, 0, 0, MINUTE], &pack(&arguments))
}
