//! A node's two sockets, and the tasks that carry datagrams.

use std::{io, net::SocketAddr, ops::Range, sync::Arc, time::Duration};

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

/// If the number of datagrams in a window is in this range, this node reads those that arrive in [`FLOOD_PAUSE`]
/// together, because waking up for each of them costs more than reading it. Nodes rarely send as many to one node. With
/// more, the receive buffer could overflow during a pause: with the default size of Linux (net.core.rmem_default, 208 KiB), it
/// holds about 90 datagrams of 1,200 bytes.
const FLOOD: Range<usize> = 64..2_000;
const FLOOD_WINDOW: Duration = Duration::from_millis(100);
const FLOOD_PAUSE: Duration = Duration::from_millis(2);

/// After this many datagrams without a pause, other tasks run.
const RECEIVE_TOGETHER: usize = 128;

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
    let mut pause = Duration::ZERO;
    loop {
        let first = async {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            datagram.receive(&mut buffer).await
        };
        let first = tokio::select! {
            biased;
            () = shared.stop().cancelled() => return,
            received = first => received,
        };
        let mut next = Some(first);
        let mut count = 0;
        let mut works = true;
        while let Some(received) = next {
            rate.on_received(Instant::now());
            works = queue_datagram(received, &buffer, &queue);
            count += 1;
            // Without tokio's budget, which may end before the socket is empty.
            let receive =
                || tokio::task::unconstrained(datagram.receive(&mut buffer)).now_or_never();
            next = (works && count < RECEIVE_TOGETHER).then(receive).flatten();
        }
        let is_empty = count < RECEIVE_TOGETHER;
        pause = if !works {
            ERROR_PAUSE
        } else if is_empty && rate.is_flood() {
            FLOOD_PAUSE
        } else {
            Duration::ZERO
        };
        if !is_empty {
            tokio::task::yield_now().await;
        }
    }
}

/// Queues a datagram that was received into `buffer`. Returns whether the socket works.
fn queue_datagram(
    received: io::Result<(usize, SocketAddr)>,
    buffer: &[u8],
    queue: &mpsc::Sender<Vec<u8>>,
) -> bool {
    match received {
        Ok((length, _)) if length > MAX_DATAGRAM => true,
        Ok((length, _)) => {
            // The datagram is dropped if the queue is full, as UDP allows.
            let _ = queue.try_send(buffer[..length].to_vec());
            true
        }
        // A peer refused an earlier datagram. This is not an error of this socket.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => true,
        Err(error) => {
            tracing::debug!(%error, "failed to receive a datagram");
            false
        }
    }
}

/// How many datagrams arrive per [`FLOOD_WINDOW`].
#[derive(Debug, Default)]
struct DatagramRate {
    /// The start of the current window.
    start: Option<Instant>,
    count: usize,
    /// The number in the window before.
    before: usize,
}

impl DatagramRate {
    fn on_received(&mut self, now: Instant) {
        let age = self.start.map(|start| now.saturating_duration_since(start));
        if age.is_none_or(|age| age >= FLOOD_WINDOW) {
            self.before =
                if age.is_some_and(|age| age < 2 * FLOOD_WINDOW) { self.count } else { 0 };
            self.start = Some(now);
            self.count = 0;
        }
        self.count += 1;
    }

    /// Whether the rate is in the range in which reading several datagrams together costs less and loses none.
    fn is_flood(&self) -> bool {
        FLOOD.contains(&self.count.max(self.before))
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
        let mut rate = DatagramRate::default();
        let start = Instant::now();
        for number in 1..=FLOOD.start {
            assert!(!rate.is_flood(), "{number}");
            rate.on_received(start);
        }
        assert!(rate.is_flood());
        rate.on_received(start + FLOOD_WINDOW);
        assert!(rate.is_flood());
        rate.on_received(start + 2 * FLOOD_WINDOW);
        assert!(!rate.is_flood());
    }

    #[test]
    fn a_flood_ends_after_silence() {
        let mut rate = DatagramRate::default();
        let start = Instant::now();
        (0..FLOOD.start).for_each(|_| rate.on_received(start));
        rate.on_received(start + 3 * FLOOD_WINDOW);
        assert!(!rate.is_flood());
    }

    #[test]
    fn datagrams_that_could_overflow_the_receive_buffer_are_read_without_a_pause() {
        let mut rate = DatagramRate::default();
        let start = Instant::now();
        (0..FLOOD.end).for_each(|_| rate.on_received(start));
        assert!(!rate.is_flood());
    }
}
