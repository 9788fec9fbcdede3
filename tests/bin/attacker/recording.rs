//! Connections and datagrams of a cluster, as an eavesdropper records them.
//!
//! The recorded node dials through a proxy for each node, which records connections. Its datagrams are recorded at its
//! socket, in both directions, because it sends them to the addresses that the nodes advertise.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flyrpc::{Datagram, Env, Node, NodeBuilder, TokioEnv};
use flyrpc_tests::{
    frames::{PREFACE, read_varint},
    hooked_env::HookedEnv,
};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
};

use crate::{Result, cluster::Settings, node::TargetClient};

/// Calls that the recorded node makes.
const CALLS: u64 = 100;

/// Time in which the recorded node gossips, and in which datagrams to the killed node are received afterwards.
const LISTENING: Duration = Duration::from_secs(3);

/// What was recorded.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Recording {
    /// The bytes that the dialing end of each connection sent.
    pub(crate) dialers: Vec<Vec<u8>>,
    /// The bytes that the other end of each connection sent.
    pub(crate) acceptors: Vec<Vec<u8>>,
    pub(crate) datagrams: Vec<Vec<u8>>,
}

/// The end of a connection whose bytes are recorded.
type End = fn(&mut Recording) -> &mut Vec<Vec<u8>>;

impl Recording {
    /// Records the datagrams to a node that was just killed at `addr`.
    pub(crate) async fn receive_at(addr: SocketAddr) -> Result<Self> {
        let socket = loop {
            match UdpSocket::bind(addr) {
                Ok(socket) => break socket,
                // The node has not ended yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let datagrams = tokio::task::spawn_blocking(move || receive_all(&socket)).await??;
        Ok(Recording { datagrams, ..Recording::default() })
    }

    pub(crate) fn extend(&mut self, other: Recording) {
        self.dialers.extend(other.dialers);
        self.acceptors.extend(other.acceptors);
        self.datagrams.extend(other.datagrams);
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recording { dialers, acceptors, datagrams } = self;
        let bytes: usize = dialers.iter().chain(acceptors).map(Vec::len).sum();
        let (connections, datagrams) = (dialers.len(), datagrams.len());
        write!(f, "{connections} connections with {bytes} bytes, and {datagrams} datagrams")
    }
}

/// Returns the preface and the first frame of what one end of a connection sent. `None` if that is not complete.
pub(crate) fn first_message(sent: &[u8]) -> Option<&[u8]> {
    let mut rest = sent.strip_prefix(PREFACE)?;
    let length = read_varint(&mut rest)? as usize;
    sent.get(..sent.len() - rest.len() + length)
}

/// Records nodes that dial the nodes of a cluster.
pub(crate) struct Recorder {
    log: Arc<Mutex<Recording>>,
    proxies: Vec<SocketAddr>,
}

impl Recorder {
    pub(crate) async fn new(nodes: &[SocketAddr]) -> Result<Self> {
        let log = Arc::default();
        let mut proxies = Vec::new();
        for node in nodes {
            proxies.push(proxy(*node, Arc::clone(&log)).await?);
        }
        Ok(Recorder { log, proxies })
    }

    /// Starts a recorded node.
    pub(crate) async fn start(&self, node: NodeBuilder) -> Result<Node> {
        let node = node.env(recorded_env(&self.log)).seeds(&self.proxies).start().await?;
        node.ready().await;
        Ok(node)
    }

    /// Records a node that joins the cluster, calls its nodes and leaves.
    pub(crate) async fn record_visit(&self, cluster: &Settings) -> Result<()> {
        let recorded = self.start(cluster.node("recorded")?.region("nrt")).await?;
        let target = recorded.client::<TargetClient>().on_region("iad");
        for call in 0..CALLS {
            target.wait(Duration::from_secs(5)).run(call).await?;
        }
        tokio::time::sleep(LISTENING).await;
        recorded.shutdown().await;
        Ok(())
    }

    /// Returns what was recorded so far.
    pub(crate) fn recording(&self) -> Recording {
        lock(&self.log).clone()
    }
}

fn receive_all(socket: &UdpSocket) -> Result<Vec<Vec<u8>>> {
    socket.set_read_timeout(Some(LISTENING))?;
    let mut datagrams = Vec::new();
    let mut buffer = [0; 2048];
    let end = std::time::Instant::now() + 3 * LISTENING;
    while std::time::Instant::now() < end {
        match socket.recv(&mut buffer) {
            Ok(length) => datagrams.push(buffer[..length].to_vec()),
            Err(_) => break,
        }
    }
    Ok(datagrams)
}

/// An environment with recorded datagrams.
fn recorded_env(log: &Arc<Mutex<Recording>>) -> impl Env {
    let log = Arc::clone(log);
    let env = HookedEnv::new(TokioEnv, |env: &TokioEnv, to| env.connect(to));
    env.wrap_datagrams(move |socket| Arc::new(RecordedSocket { socket, log: Arc::clone(&log) }))
}

/// A socket whose datagrams are recorded in both directions.
struct RecordedSocket {
    socket: Arc<dyn Datagram>,
    log: Arc<Mutex<Recording>>,
}

impl Datagram for RecordedSocket {
    fn send<'a>(&'a self, data: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        lock(&self.log).datagrams.push(data.to_vec());
        self.socket.send(data, to)
    }

    fn receive<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(async move {
            let (length, from) = self.socket.receive(into).await?;
            lock(&self.log).datagrams.push(into[..length].to_vec());
            Ok((length, from))
        })
    }
}

/// Forwards connections to `to`, and records both ends of them. Returns the address.
async fn proxy(to: SocketAddr, log: Arc<Mutex<Recording>>) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((inbound, _)) = listener.accept().await {
            let Ok(outbound) = TcpStream::connect(to).await else { continue };
            // Nagle's algorithm would delay what the node sends at once.
            let _ = (inbound.set_nodelay(true), outbound.set_nodelay(true));
            let ((from, back), (replies, forward)) = (inbound.into_split(), outbound.into_split());
            let (dialers, acceptors): (End, End) =
                (|log| &mut log.dialers, |log| &mut log.acceptors);
            tokio::spawn(copy(from, forward, record(&log, dialers)));
            tokio::spawn(copy(replies, back, record(&log, acceptors)));
        }
    });
    Ok(addr)
}

/// Returns a function that records bytes of this end of a new connection.
fn record(log: &Arc<Mutex<Recording>>, end: End) -> impl Fn(&[u8]) + Send + use<> {
    let at = {
        let mut log = lock(log);
        let connections = end(&mut log);
        connections.push(Vec::new());
        connections.len() - 1
    };
    let log = Arc::clone(log);
    move |bytes| {
        if let Some(sent) = end(&mut lock(&log)).get_mut(at) {
            sent.extend_from_slice(bytes);
        }
    }
}

async fn copy(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    record: impl Fn(&[u8]) + Send,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length) = from.read(&mut buffer).await {
        record(&buffer[..length]);
        if length == 0 || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
