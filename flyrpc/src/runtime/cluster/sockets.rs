//! A node's two sockets, and the tasks that accept connections and carry datagrams.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{local_hello::LocalHelloSource, message::Message};
use crate::{
    env::{Datagram, Env, Listener},
    error::StartError,
    runtime::{
        link::{self, DialError},
        shared::NodeShared,
    },
};

/// Upper bound on concurrent inbound handshakes. A further connection evicts the oldest handshake.
/// A node sends its hello immediately, so the oldest connection has been silent for the longest
/// time, and must not keep nodes out.
const MAX_HANDSHAKES: usize = 256;

/// Upper bound on datagrams queued in each direction. Further datagrams are dropped, as UDP allows.
pub(super) const DATAGRAM_QUEUE: usize = 1024;

/// How many free TCP ports are tried to find one that is also free for UDP.
const MAX_BIND_ATTEMPTS: usize = 32;

/// The pause after a socket error, such as too many open files.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Maximum size of a UDP datagram, in bytes.
const MAX_DATAGRAM: usize = 64 << 10;

/// A node's sockets: one port, TCP for links and UDP for gossip.
pub(crate) struct Sockets {
    pub(crate) addr: SocketAddr,
    pub(super) listener: Box<dyn Listener>,
    pub(super) datagram: Arc<dyn Datagram>,
}

impl Sockets {
    /// Binds both sockets to `at`. If its port is 0, binds them to a port that is free for both.
    pub(crate) async fn bind(env: &dyn Env, at: SocketAddr) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen { addr: at, source };
        for _ in 0..MAX_BIND_ATTEMPTS {
            let listener = env.listen(at).await.map_err(failed)?;
            let addr = listener.local_addr().map_err(failed)?;
            match env.datagram(addr).await {
                Ok(datagram) => return Ok(Sockets { addr, listener, datagram }),
                // Another process uses the port for datagrams: try another port.
                Err(error) if at.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::ErrorKind::AddrInUse.into()))
    }
}

/// Accepts connections, and reports those that complete their handshake as nodes of this cluster.
pub(super) async fn accept(
    shared: Arc<NodeShared>,
    mut listener: Box<dyn Listener>,
    local_hello: LocalHelloSource,
    reports: mpsc::UnboundedSender<Message>,
) {
    let mut handshakes = Handshakes(VecDeque::with_capacity(MAX_HANDSHAKES));
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop().cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        let (hello, env, reports) = (local_hello.get(), Arc::clone(shared.env()), reports.clone());
        let evicted = handshakes.add(shared.stop());
        shared.env().spawn(Box::pin(async move {
            let handshaken = tokio::select! {
                biased;
                () = evicted.cancelled() => return,
                handshaken = link::accept(&*env, stream, &hello) => handshaken,
            };
            match handshaken {
                // An error means that the node has ended.
                Ok(handshaken) => drop(reports.send(Message::Accepted(handshaken))),
                Err(error) => {
                    tracing::debug!(%from, %error, "inbound handshake failed");
                    if let DialError::SameAddress(node) = error {
                        let _ = reports.send(Message::SameAddress(node));
                    }
                }
            }
        }));
    }
}

/// The inbound handshakes in progress, oldest first. Some of them may have ended.
struct Handshakes(VecDeque<CancellationToken>);

impl Handshakes {
    /// Adds a handshake. Returns the token that is canceled when the handshake is evicted, or at
    /// `stop`.
    fn add(&mut self, stop: &CancellationToken) -> CancellationToken {
        while self.0.len() >= MAX_HANDSHAKES {
            if let Some(oldest) = self.0.pop_front() {
                oldest.cancel();
            }
        }
        let evicted = stop.child_token();
        self.0.push_back(evicted.clone());
        evicted
    }
}

/// Receives datagrams and queues them, without checking their contents.
pub(super) async fn receive(
    shared: Arc<NodeShared>,
    datagram: Arc<dyn Datagram>,
    queue: mpsc::Sender<Vec<u8>>,
) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let received = tokio::select! {
            biased;
            () = shared.stop().cancelled() => return,
            received = datagram.receive(&mut buffer) => received,
        };
        match received {
            Ok((length, _)) => {
                // The datagram is dropped if the queue is full, as UDP allows.
                let _ = queue.try_send(buffer[..length].to_vec());
            }
            // A peer refused an earlier datagram. This is not an error of this socket.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => {
                tracing::debug!(%error, "failed to receive a datagram");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

/// Starts a task that sends datagrams, so that a full socket delays nothing else.
pub(super) fn start_sender(
    shared: &Arc<NodeShared>,
    datagram: Arc<dyn Datagram>,
) -> mpsc::Sender<(SocketAddr, Vec<u8>)> {
    let (queue, mut queued) = mpsc::channel::<(SocketAddr, Vec<u8>)>(DATAGRAM_QUEUE);
    shared.spawn("gossip sender", async move {
        while let Some((to, data)) = queued.recv().await {
            if let Err(error) = datagram.send(&data, to).await {
                tracing::trace!(%to, %error, "failed to send a datagram");
            }
        }
    });
    queue
}
