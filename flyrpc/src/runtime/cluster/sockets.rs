//! A node's two sockets, and the tasks that accept connections and carry datagrams.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{local_hello::LocalHelloSource, message::Message};
use crate::{
    env::{Datagram, Env, Listener},
    error::StartError,
    runtime::{
        link::{self, MAX_LONG_HELLOS},
        shared::NodeShared,
    },
};

/// Upper bound on concurrent inbound handshakes. Another connection evicts the oldest handshake of the
/// address that has the most. A node sends its hello immediately, so the oldest connection is the one
/// that has been silent longest, and it must not keep nodes out.
const MAX_HANDSHAKES: usize = 128;

/// Upper bound on datagrams queued in each direction. Further datagrams are dropped, as UDP allows.
pub(super) const DATAGRAM_QUEUE: usize = 1024;

/// How many free TCP ports are tried to find one that is also free for UDP.
const MAX_BIND_ATTEMPTS: usize = 32;

/// The pause after a socket error, such as too many open files.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// The minimum time between two log lines about socket errors.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

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

/// Accepts connections, and reports those that complete their handshake as nodes of this cluster.
pub(super) async fn accept(
    shared: Arc<NodeShared>,
    mut listener: Box<dyn Listener>,
    local_hello: LocalHelloSource,
    reports: mpsc::UnboundedSender<Message>,
) {
    let mut handshakes = Handshakes::default();
    let mut failures = AcceptFailures::default();
    let long_hellos = Arc::new(Semaphore::new(MAX_LONG_HELLOS));
    let refusals = Arc::new(Refusals::default());
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop().cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                failures.log(shared.env().now(), &error);
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        let (hello, env, reports) = (local_hello.get(), Arc::clone(shared.env()), reports.clone());
        let (evicted, in_progress) = handshakes.add(from.ip(), shared.stop());
        let (long_hellos, refusals) = (Arc::clone(&long_hellos), Arc::clone(&refusals));
        let handshake = async move {
            let handshaken = tokio::select! {
                biased;
                () = evicted.cancelled() => return,
                handshaken = link::accept(&*env, stream, &hello, &long_hellos) => handshaken,
            };
            drop(in_progress);
            match handshaken {
                // An error means that the node has ended.
                Ok(handshaken) => drop(reports.send(Message::Accepted(handshaken))),
                Err(error) if error.is_about_the_secret() && refusals.may_log(env.now()) => {
                    tracing::warn!(
                        %from, %error, "refused a connection; check FLYRPC_SECRET of the node there"
                    );
                }
                Err(error) => {
                    tracing::debug!(%from, %error, "inbound handshake failed");
                }
            }
        };
        shared.env().spawn(Box::pin(handshake.in_current_span()));
        // Many connections at once must not delay everything else.
        tokio::task::yield_now().await;
    }
}

/// Limits the log lines about nodes that do not hold the secret. Anyone can cause them.
#[derive(Debug, Default)]
struct Refusals(Mutex<Option<Instant>>);

impl Refusals {
    /// Whether to log a refusal, which is the case once per [`LOG_INTERVAL`].
    fn may_log(&self, now: Instant) -> bool {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let may = next.is_none_or(|next| next <= now);
        if may {
            *next = Some(now + LOG_INTERVAL);
        }
        may
    }
}

/// Limits the log lines about connections that could not be accepted. For example, a process that has too
/// many open files may fail to accept connections for hours.
#[derive(Debug, Default)]
struct AcceptFailures {
    /// When the next failure may be logged.
    next_log: Option<Instant>,
    /// The failures since the last one that was logged.
    not_logged: u64,
}

impl AcceptFailures {
    /// Logs a failure, unless one was logged recently. Returns whether it was logged.
    fn log(&mut self, now: Instant, error: &io::Error) -> bool {
        if self.next_log.is_some_and(|next| now < next) {
            self.not_logged += 1;
            return false;
        }
        let earlier = std::mem::take(&mut self.not_logged);
        tracing::warn!(%error, earlier, "failed to accept a connection; will retry");
        self.next_log = Some(now + LOG_INTERVAL);
        true
    }
}

/// The inbound handshakes in progress, oldest first. Some of them may have ended.
#[derive(Debug, Default)]
struct Handshakes(VecDeque<Handshake>);

#[derive(Debug)]
struct Handshake {
    from: IpAddr,
    evict: CancellationToken,
    in_progress: Weak<InProgress>,
}

/// Held while a handshake is in progress.
#[derive(Debug)]
struct InProgress;

impl Handshakes {
    /// Adds a handshake with `from`. Returns a token that is canceled at `stop` or when the handshake is
    /// evicted, and a value to drop when the handshake has ended.
    fn add(
        &mut self,
        from: IpAddr,
        stop: &CancellationToken,
    ) -> (CancellationToken, Arc<InProgress>) {
        if self.0.len() >= MAX_HANDSHAKES {
            self.0.retain(|handshake| handshake.in_progress.strong_count() > 0);
        }
        if self.0.len() >= MAX_HANDSHAKES {
            self.evict();
        }
        let (evict, in_progress) = (stop.child_token(), Arc::new(InProgress));
        let weak = Arc::downgrade(&in_progress);
        self.0.push_back(Handshake { from, evict: evict.clone(), in_progress: weak });
        (evict, in_progress)
    }

    /// Evicts the oldest handshake of the addresses that have the most in progress, so that one machine
    /// cannot keep others out.
    fn evict(&mut self) {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for handshake in &self.0 {
            *counts.entry(handshake.from).or_default() += 1;
        }
        let most = counts.values().copied().max();
        let at = self.0.iter().position(|handshake| counts.get(&handshake.from).copied() == most);
        if let Some(evicted) = at.and_then(|at| self.0.remove(at)) {
            tracing::debug!(from = %evicted.from, "too many inbound handshakes: evicted the oldest");
            evicted.evict.cancel();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn connections_that_cannot_be_accepted_are_logged_once_per_interval() {
        let lines = |failures: &[Duration]| {
            let (mut log, start) = (AcceptFailures::default(), Instant::now());
            let error = io::Error::from_raw_os_error(24);
            let logged = failures.iter().filter(|after| log.log(start + **after, &error));
            logged.count()
        };
        let ten_per_second: Vec<Duration> =
            (0..36_000).map(|n| n * Duration::from_millis(100)).collect();
        assert_eq!(lines(&ten_per_second), 60, "one line per minute in an hour");
    }

    #[test]
    fn refusals_are_logged_once_per_interval() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let logged =
            (0..3_600_u32).filter(|n| refusals.may_log(start + *n * Duration::from_secs(1)));
        assert_eq!(logged.count(), 60, "one line per minute in an hour");
    }

    #[test]
    fn the_address_with_the_most_handshakes_loses_its_oldest_one() {
        let (mut handshakes, stop) = (Handshakes::default(), CancellationToken::new());
        let other = handshakes.add(ip(1), &stop);
        let mut flood = vec![handshakes.add(ip(2), &stop)];
        flood.extend((0..2 * MAX_HANDSHAKES).map(|_| handshakes.add(ip(2), &stop)));
        assert!(!other.0.is_cancelled());
        assert!(flood[0].0.is_cancelled());
        let open = flood.iter().filter(|(evicted, _)| !evicted.is_cancelled()).count();
        assert_eq!(open, MAX_HANDSHAKES - 1);
    }

    #[test]
    fn handshakes_that_have_ended_evict_none() {
        let (mut handshakes, stop) = (Handshakes::default(), CancellationToken::new());
        let slow = handshakes.add(ip(1), &stop);
        for _ in 0..2 * MAX_HANDSHAKES {
            drop(handshakes.add(ip(1), &stop));
        }
        assert!(!slow.0.is_cancelled());
        assert!(handshakes.0.len() <= MAX_HANDSHAKES);
    }
}
