//! Connections and datagrams of the cluster, as an eavesdropper records them.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flyrpc::Node;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
};

use crate::{Result, SECRET, node::TargetClient};

/// Calls that the recorded node makes.
const CALLS: u64 = 100;

/// Time in which datagrams to the recorded node are received after it was killed.
const LISTENING: Duration = Duration::from_secs(3);

/// What was recorded.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recording {
    /// The bytes that the dialing end of each connection sent.
    pub(crate) connections: Vec<Vec<u8>>,
    /// Datagrams of members.
    pub(crate) datagrams: Vec<Vec<u8>>,
}

impl Recording {
    /// Records the connections of a node that joins the cluster, calls its nodes and leaves. Then a second node joins and
    /// ends without a goodbye, and what the others send to its address is recorded, too.
    pub(crate) async fn record(nodes: &[SocketAddr]) -> Result<Self> {
        let connections = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let mut proxies = Vec::new();
        for node in nodes {
            proxies.push(proxy(*node, Arc::clone(&connections)).await?);
        }
        let recorded = Node::builder().name("recorded").region("nrt").primary_region("iad");
        let recorded = recorded.secret(SECRET.parse()?).seeds(&proxies).start().await?;
        recorded.ready().await;
        let target = recorded.client::<TargetClient>().on_region("iad");
        for call in 0..CALLS {
            target.wait(Duration::from_secs(5)).run(call).await?;
        }
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
        let datagrams = tokio::task::spawn_blocking(move || receive_all(&socket)).await??;
        let connections = std::mem::take(&mut *lock(&connections));
        Ok(Recording { connections, datagrams })
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

/// Forwards connections to `to`, and records what is sent to it. Returns the address.
async fn proxy(to: SocketAddr, connections: Arc<Mutex<Vec<Vec<u8>>>>) -> Result<SocketAddr> {
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
