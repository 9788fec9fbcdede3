//! Connections and datagrams of the cluster, as an eavesdropper records them.
//!
//! The recorded node dials through a proxy for each node, which records connections. Its datagrams are recorded at its
//! socket, in both directions, because it sends them to the addresses that the nodes advertise.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flyrpc::{Datagram, Env, Node, TokioEnv};
use flyrpc_tests::hooked_env::HookedEnv;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
};

use crate::{Result, SECRET, gossip::Identity, node::TargetClient};

/// Calls that the recorded node makes.
const CALLS: u64 = 100;

/// Time in which the recorded node gossips, and in which datagrams to the killed node are received afterwards.
const LISTENING: Duration = Duration::from_secs(3);

/// What was recorded.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recording {
    /// The bytes that the dialing end of each connection sent.
    pub(crate) connections: Vec<Vec<u8>>,
    /// Datagrams of members.
    pub(crate) datagrams: Vec<Vec<u8>>,
    /// The members. A sealed cluster does not reveal their boots, but the attacker knows them, for example from a time
    /// without a secret.
    pub(crate) members: Vec<Identity>,
}

/// Bytes that were recorded, by connection or by datagram.
type Log = Arc<Mutex<Vec<Vec<u8>>>>;

impl Recording {
    /// Records the connections and datagrams of a node that joins the cluster, calls its nodes and leaves. Then a second
    /// node joins and ends without a goodbye, and what the others send to its address is recorded, too.
    pub(crate) async fn record(nodes: &[SocketAddr]) -> Result<Self> {
        let (connections, datagrams) = (Log::default(), Log::default());
        let mut proxies = Vec::new();
        for node in nodes {
            proxies.push(proxy(*node, Arc::clone(&connections)).await?);
        }
        let recorded = Node::builder().name("recorded").region("nrt").primary_region("iad");
        let recorded = recorded.env(recorded_env(&datagrams)).secret(SECRET.parse()?);
        let recorded = recorded.seeds(&proxies).start().await?;
        recorded.ready().await;
        let target = recorded.client::<TargetClient>().on_region("iad");
        for call in 0..CALLS {
            target.wait(Duration::from_secs(5)).run(call).await?;
        }
        tokio::time::sleep(LISTENING).await;
        recorded.shutdown().await;

        let killed = Node::builder().name("killed").region("nrt").primary_region("iad");
        let killed = killed.secret(SECRET.parse()?).seeds(nodes).start().await?;
        killed.ready().await;
        let at = killed.addr();
        drop(killed);
        let socket = loop {
            match UdpSocket::bind(at) {
                Ok(socket) => break socket,
                // The node has not ended yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let of_killed = tokio::task::spawn_blocking(move || receive_all(&socket)).await??;
        let connections = std::mem::take(&mut *lock(&connections));
        let mut datagrams = std::mem::take(&mut *lock(&datagrams));
        datagrams.extend(of_killed);
        Ok(Recording { connections, datagrams, members: Vec::new() })
    }

    /// Returns the member at `addr`.
    pub(crate) fn member(&self, addr: SocketAddr) -> Result<&Identity> {
        let member = self.members.iter().find(|member| member.addr == addr);
        member.ok_or_else(|| "no member has this address".into())
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.connections.iter().map(Vec::len).sum();
        let (connections, datagrams) = (self.connections.len(), self.datagrams.len());
        write!(f, "{connections} connections with {bytes} bytes, and {datagrams} datagrams")
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
fn recorded_env(log: &Log) -> impl Env {
    let log = Arc::clone(log);
    let env = HookedEnv::new(TokioEnv, |env: &TokioEnv, to| env.connect(to));
    env.wrap_datagrams(move |socket| Arc::new(RecordedSocket { socket, log: Arc::clone(&log) }))
}

/// A socket whose datagrams are recorded in both directions.
struct RecordedSocket {
    socket: Arc<dyn Datagram>,
    log: Log,
}

impl Datagram for RecordedSocket {
    fn send<'a>(&'a self, data: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        lock(&self.log).push(data.to_vec());
        self.socket.send(data, to)
    }

    fn receive<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(async move {
            let (length, from) = self.socket.receive(into).await?;
            lock(&self.log).push(into[..length].to_vec());
            Ok((length, from))
        })
    }
}

/// Forwards connections to `to`, and records what is sent to it. Returns the address.
async fn proxy(to: SocketAddr, connections: Log) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((inbound, _)) = listener.accept().await {
            let Ok(outbound) = TcpStream::connect(to).await else { continue };
            let at = {
                let mut connections = lock(&connections);
                connections.push(Vec::new());
                connections.len() - 1
            };
            let ((from, back), (replies, forward)) = (inbound.into_split(), outbound.into_split());
            let connections = Arc::clone(&connections);
            let record = move |bytes: &[u8]| {
                if let Some(connection) = lock(&connections).get_mut(at) {
                    connection.extend_from_slice(bytes);
                }
            };
            tokio::spawn(copy(from, forward, record));
            tokio::spawn(copy(replies, back, |_| {}));
        }
    });
    Ok(addr)
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
