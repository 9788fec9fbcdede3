//! A node's two sockets, and the tasks that carry datagrams.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::{
    env::{Datagram, Env, Listener},
    error::StartError,
    runtime::shared::NodeShared,
};

/// Upper bound on datagrams queued in each direction. Further datagrams are dropped, as UDP allows.
pub(super) const DATAGRAM_QUEUE: usize = 1024;

/// How many free TCP ports are tried to find one that is also free for UDP.
const MAX_BIND_ATTEMPTS: usize = 32;

/// The pause after a socket error, such as too many open files.
pub(super) const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Longer datagrams are dropped before they are queued, in bytes. Nodes send at most 1,200 bytes.
const MAX_DATAGRAM: usize = 1_500;

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

    /// Whether no program outside of a simulation can reach the sockets.
    pub(crate) fn is_simulated(&self) -> bool {
        self.listener.is_simulated()
    }
}

/// Receives datagrams and queues them, without checking their contents.
pub(super) async fn receive(
    shared: Arc<NodeShared>,
    datagram: Arc<dyn Datagram>,
    queue: mpsc::Sender<Vec<u8>>,
) {
    // One more than the maximum, to recognize datagrams that are longer.
    let mut buffer = [0; MAX_DATAGRAM + 1];
    loop {
        let received = tokio::select! {
            biased;
            () = shared.stop().cancelled() => return,
            received = datagram.receive(&mut buffer) => received,
        };
        match received {
            Ok((length, _)) if length > MAX_DATAGRAM => {}
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
