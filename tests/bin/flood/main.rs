//! Floods a node from one peer in several ways, one after the other. For each, prints the peak memory of
//! the node, and the success rate and latency of a well-behaved peer during the flood, next to
//! undisturbed figures.
//!
//! ```text
//! cargo run --release --package flyrpc-tests --bin flood
//! ```
//!
//! The node runs in a separate process, which is this program with the argument `node`. Each attack has
//! a new process. The attacker encodes frames itself, so that it can break every rule.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use flyrpc::{Node, fly_rpc};
use flyrpc_tests::frames::{CHUNKED, Hello, PREFACE, frame, kind, pack, read_varint};
use serde::Serialize;
use serde_bytes::ByteBuf;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Measures the effects of floods on a node and on its other peers.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Subcommands>,
    /// Seconds for each attack.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only attacks whose names contain this text.
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Runs the node under attack until standard input ends.
    Node,
}

#[fly_rpc]
trait Target {
    async fn echo(&self, body: ByteBuf) -> ByteBuf;
    async fn slow(&self, millis: u64);
}

#[derive(Debug)]
struct Server;

impl Target for Server {
    async fn echo(&self, body: ByteBuf) -> ByteBuf {
        body
    }

    async fn slow(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}

/// Indices of methods. The first three indices belong to the internal service.
const REGION: u64 = 0;
const ECHO: u64 = 3;
const SLOW: u64 = 4;

const NO_ARGUMENTS: &[(&str, ())] = &[];

/// The kind of a frame that a node ignores.
const VOID: u8 = 0;

/// Concurrent calls of the well-behaved peer.
const CALLERS: usize = 4;

fn main() -> Result<()> {
    let cli = Cli::parse();
    if matches!(cli.command, Some(Subcommands::Node)) {
        return node();
    }
    println!(
        "{:<14} {:>10} {:>10} {:>9} {:>9} {:>9}",
        "attack", "peak MiB", "calls", "success", "p50 ms", "p99 ms"
    );
    for attack in ATTACKS.iter().filter(|attack| attack.name.contains(&cli.only)) {
        measure(attack, Duration::from_secs(cli.seconds))?;
    }
    Ok(())
}

fn threads() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

fn node() -> Result<()> {
    let threads = threads()?;
    let builder = Node::builder().name("node").region("iad").serve(ServeTarget::new(Server));
    let node = threads.block_on(builder.start())?;
    println!("{}", node.addr());
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// The node's process. It ends when this value is dropped.
struct NodeProcess {
    child: Child,
    addr: SocketAddr,
}

impl NodeProcess {
    fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("node")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("standard output is not piped")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let addr = line.trim().parse()?;
        Ok(NodeProcess { child, addr })
    }

    /// The peak of resident memory, in MiB.
    fn peak(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: f64 = peak
            .and_then(|text| text.split_whitespace().next())
            .ok_or("VmHWM is missing")?
            .parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The measurements of the well-behaved peer.
#[derive(Debug, Default)]
struct Measured {
    latencies: Vec<Duration>,
    failed: usize,
}

fn measure(attack: &Attack, duration: Duration) -> Result<()> {
    let node = NodeProcess::start()?;
    let (ours, theirs) = (threads()?, threads()?);
    let builder = Node::builder().name("peer").region("hkg").seeds([node.addr]);
    let peer = ours.block_on(builder.start())?;
    ours.block_on(peer.ready());
    let target = peer.client::<TargetClient>().on_region("iad");
    ours.block_on(target.wait(Duration::from_secs(5)).echo(ByteBuf::new()))?;
    let stop = Arc::new(AtomicBool::new(false));
    for connection in 0..attack.connections {
        let (addr, run, stop) = (node.addr, attack.run, Arc::clone(&stop));
        theirs.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                // The node may end the link. The attacker then reconnects.
                let _ = run(addr, connection).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    let end = Instant::now() + duration;
    let calls = (0..CALLERS).map(|_| ours.spawn(call_until(target.clone(), end)));
    let mut measured = Measured::default();
    for caller in calls.collect::<Vec<_>>() {
        let of_one = ours.block_on(caller)?;
        measured.latencies.extend(of_one.latencies);
        measured.failed += of_one.failed;
    }
    stop.store(true, Ordering::Relaxed);
    print(attack.name, node.peak()?, measured)?;
    theirs.shutdown_background();
    Ok(())
}

async fn call_until(target: TargetClient, end: Instant) -> Measured {
    let mut measured = Measured::default();
    while Instant::now() < end {
        let start = Instant::now();
        match target.echo(ByteBuf::from(*b"hello")).await {
            Ok(_) => measured.latencies.push(start.elapsed()),
            Err(_) => measured.failed += 1,
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    measured
}

fn print(name: &str, peak: f64, mut measured: Measured) -> Result<()> {
    measured.latencies.sort();
    let calls = measured.latencies.len() + measured.failed;
    if measured.latencies.is_empty() {
        return Err(format!("{name}: none of {calls} calls succeeded").into());
    }
    let success = 100.0 * measured.latencies.len() as f64 / calls as f64;
    let at = |percent: usize| {
        let at = (measured.latencies.len() * percent / 100).min(measured.latencies.len() - 1);
        measured.latencies[at].as_secs_f64() * 1e3
    };
    println!("{name:<14} {peak:>10.1} {calls:>10} {success:>8.2}% {:>9.2} {:>9.2}", at(50), at(99));
    Ok(())
}

/// A way to flood a node.
struct Attack {
    name: &'static str,
    connections: usize,
    run: fn(SocketAddr, usize) -> futures_util::future::BoxFuture<'static, Result<()>>,
}

macro_rules! attacks {
    ($($name:literal, $connections:literal, $run:ident;)*) => {
        const ATTACKS: &[Attack] = &[$(Attack {
            name: $name,
            connections: $connections,
            run: |addr, connection| Box::pin($run(addr, connection)),
        }),*];
    };
}

attacks! {
    "undisturbed", 0, nothing;
    "announcements", 2, announcements;
    "long bodies", 2, long_bodies;
    "begun bodies", 1, begun_bodies;
    "slow calls", 2, slow_calls;
    "held requests", 2, held_requests;
    "small frames", 2, small_frames;
    "replies", 1, unexpected_replies;
    "unread replies", 2, unread_replies;
    "internal", 1, internal_calls;
    "links", 4, links;
    "hellos", 300, hellos;
}

async fn nothing(_: SocketAddr, _: usize) -> Result<()> {
    Ok(())
}

async fn announcements(addr: SocketAddr, _: usize) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    let flood = (0..9_000).flat_map(|id| announced(id, 20_000)).collect::<Vec<_>>();
    link.stream.write_all(&flood).await?;
    link.answer_pings().await
}

async fn long_bodies(addr: SocketAddr, _: usize) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    let flood = (0..8).flat_map(|id| announced(id, 32 << 20)).collect::<Vec<_>>();
    link.stream.write_all(&flood).await?;
    link.answer_pings().await
}

async fn begun_bodies(addr: SocketAddr, _: usize) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    for id in 0..10_000 {
        let chunk = frame(kind::REQUEST_CHUNK, &[id], &[7; 20_000]);
        link.stream.write_all(&[announced(id, 32 << 20), chunk].concat()).await?;
        link.answer_some_pings()?;
    }
    link.answer_pings().await
}

async fn slow_calls(addr: SocketAddr, _: usize) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    let flood = (0..9_000).flat_map(|id| request(id, SLOW, &[("millis", 60_000)]));
    link.stream.write_all(&flood.collect::<Vec<_>>()).await?;
    link.answer_pings().await
}

async fn held_requests(addr: SocketAddr, _: usize) -> Result<()> {
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

async fn small_frames(addr: SocketAddr, _: usize) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    let flood = frame(kind::CANCEL, &[7], b"").repeat(100_000);
    loop {
        link.stream.write_all(&flood).await?;
        link.answer_some_pings()?;
    }
}

async fn unexpected_replies(addr: SocketAddr, _: usize) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    let mut flood = frame(kind::REPLY, &[1 << 40], b"").repeat(50_000);
    for id in 1..1_000 {
        flood.extend(frame(kind::LONG_REPLY, &[id, 32 << 20], b""));
        flood.extend(frame(kind::REPLY_CHUNK, &[id], &[7; 1_000]));
    }
    loop {
        link.stream.write_all(&flood).await?;
        link.answer_some_pings()?;
    }
}

async fn unread_replies(addr: SocketAddr, _: usize) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    // The hello of the node has been answered, so the first requests start.
    for id in 0.. {
        let body = ByteBuf::from([7; 14 << 10]);
        link.stream.write_all(&request(id, ECHO, &[("body", body)])).await?;
    }
    Ok(())
}

async fn internal_calls(addr: SocketAddr, _: usize) -> Result<()> {
    let mut link = RawLink::open(addr).await?;
    for first in (0..).step_by(1_000) {
        let calls = (first..first + 1_000).flat_map(|id| request(id, REGION, NO_ARGUMENTS));
        link.stream.write_all(&calls.collect::<Vec<_>>()).await?;
        link.answer_some_pings()?;
    }
    Ok(())
}

async fn links(addr: SocketAddr, _: usize) -> Result<()> {
    let _link = RawLink::open(addr).await?;
    Ok(())
}

async fn hellos(addr: SocketAddr, _: usize) -> Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    let hello = frame(kind::HELLO, &[1, 1], &vec![0; 512 << 10]);
    let begun = [PREFACE, &hello[..hello.len() - 1]].concat();
    stream.write_all(&begun).await?;
    let _ = stream.read(&mut [0; 64]).await?;
    Ok(())
}

/// In microseconds.
const MINUTE: u64 = 60_000_000;

/// Returns a request to `ECHO` that announces a body of `size` bytes.
fn announced(id: u64, size: u64) -> Vec<u8> {
    frame(kind::REQUEST, &[id, ECHO, CHUNKED, 0, MINUTE, size], b"")
}

/// Returns a request with these arguments.
fn request<T: Serialize>(id: u64, method: u64, arguments: &[(&str, T)]) -> Vec<u8> {
    let arguments: BTreeMap<_, _> = arguments.iter().map(|(name, value)| (name, value)).collect();
    frame(kind::REQUEST, &[id, method, 0, 0, MINUTE], &pack(&arguments))
}

/// A link of the attacker. On all links, the attacker is the same peer.
struct RawLink {
    stream: TcpStream,
    received: Vec<u8>,
}

impl RawLink {
    /// Connects, exchanges hellos, and answers the node's hello as a ping.
    async fn open(addr: SocketAddr) -> Result<Self> {
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
    async fn answer_pings(&mut self) -> Result<()> {
        loop {
            self.answer_some_pings()?;
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Answers the pings that have been received, and discards all other frames.
    fn answer_some_pings(&mut self) -> Result<()> {
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
