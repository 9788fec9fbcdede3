//! A node's two sockets, and the tasks that carry datagrams.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{sync::mpsc, time::Instant};

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

/// If at least [`FLOOD`] datagrams arrive in a window, which no cluster sends to one node, then this node does not wait
/// for each of the next ones: it reads what arrives in [`FLOOD_PAUSE`] together, so that strangers cost less. The
/// receive buffer of Linux holds more than that (net.core.rmem_default, 208 KiB).
const FLOOD: usize = 64;
const FLOOD_WINDOW: Duration = Duration::from_millis(100);
const FLOOD_PAUSE: Duration = Duration::from_millis(4);

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
    let mut rate = DatagramRate::default();
    loop {
        let at_once = datagram.receive(&mut buffer).now_or_never();
        let received = match at_once {
            Some(received) => received,
            None => tokio::select! {
                biased;
                () = shared.stop().cancelled() => return,
                received = async {
                    if rate.is_flood() {
                        tokio::time::sleep(FLOOD_PAUSE).await;
                    }
                    datagram.receive(&mut buffer).await
                } => received,
            },
        };
        rate.on_received(Instant::now());
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

/// How many datagrams arrive per [`FLOOD_WINDOW`].
#[derive(Debug, Default)]
struct DatagramRate {
    /// The start of the current window.
    start: Option<Instant>,
    count: usize,
    /// Whether the window before was a flood.
    was_flood: bool,
}

impl DatagramRate {
    fn on_received(&mut self, now: Instant) {
        if self.start.is_none_or(|start| now >= start + FLOOD_WINDOW) {
            *self = DatagramRate { start: Some(now), count: 0, was_flood: self.count >= FLOOD };
        }
        self.count += 1;
    }

    fn is_flood(&self) -> bool {
        self.was_flood || self.count >= FLOOD
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_datagrams_in_one_window_are_a_flood_until_the_next_window_ends() {
        let (mut rate, start) = (DatagramRate::default(), Instant::now());
        for number in 1..=FLOOD {
            assert!(!rate.is_flood(), "{number}");
            rate.on_received(start);
        }
        assert!(rate.is_flood());
        rate.on_received(start + FLOOD_WINDOW);
        assert!(rate.is_flood());
        rate.on_received(start + 2 * FLOOD_WINDOW);
        assert!(!rate.is_flood());
    }
}
