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
    telemetry::Observed,
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
    // For example, a process that has too many open files may fail to accept connections for hours.
    let mut failures = LogLimit::default();
    let long_hellos = Arc::new(Semaphore::new(MAX_LONG_HELLOS));
    let refusals = Arc::new(Mutex::new(LogLimit::default()));
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop().cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(earlier) = failures.take(shared.env().now()) {
                    tracing::warn!(%error, earlier, "failed to accept a connection; will retry");
                }
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        let (hello, env, reports) = (local_hello.get(), Arc::clone(shared.env()), reports.clone());
        let (evicted, in_progress) = handshakes.add(from.ip(), shared.stop());
        let (long_hellos, refusals) = (Arc::clone(&long_hellos), Arc::clone(&refusals));
        let (observers, counters) = (shared.shared_observers(), Arc::clone(shared.counters()));
        let handshake = async move {
            let handshaken = tokio::select! {
                biased;
                () = evicted.cancelled() => return,
                handshaken = link::accept(&*env, stream, &hello, &long_hellos) => handshaken,
            };
            drop(in_progress);
            match handshaken {
                // An error of the report means that the node has ended.
                Ok(mut handshaken) => {
                    if handshaken.is_visitor() {
                        handshaken.set_origin(from);
                    }
                    let _ = reports.send(Message::Accepted(handshaken));
                }
                Err(error) => {
                    counters.on_handshake(error.kind());
                    if let Some(observers) = observers {
                        observers.observe(&Observed::Handshake(error.kind()));
                    }
                    // Anyone can cause such errors.
                    let logged = error.is_about_the_secret().then(|| {
                        refusals.lock().unwrap_or_else(PoisonError::into_inner).take(env.now())
                    });
                    match logged.flatten() {
                        Some(earlier) => tracing::warn!(
                            %from, %error, earlier,
                            "refused a connection; check FLYRPC_SECRET of the node there"
                        ),
                        None => tracing::debug!(%from, %error, "inbound handshake failed"),
                    }
                }
            }
        };
        shared.env().spawn(Box::pin(handshake.in_current_span()));
        // Many connections at once must not delay everything else.
        tokio::task::yield_now().await;
    }
}

/// Limits log lines that others can cause, or that repeat for hours, to one per [`LOG_INTERVAL`].
#[derive(Debug, Default)]
struct LogLimit {
    /// When the next line may be logged.
    next: Option<Instant>,
    /// The lines since the last one that was logged.
    not_logged: u64,
}

impl LogLimit {
    /// Returns how many lines were not logged since the last one, if another one may be logged at `now`.
    fn take(&mut self, now: Instant) -> Option<u64> {
        if self.next.is_some_and(|next| now < next) {
            self.not_logged += 1;
            return None;
        }
        self.next = Some(now + LOG_INTERVAL);
        Some(std::mem::take(&mut self.not_logged))
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
    fn lines_are_logged_once_per_interval_with_the_number_of_those_that_were_not() {
        let (mut limit, start) = (LogLimit::default(), Instant::now());
        let ten_per_second = (0..36_000).map(|n| start + n * Duration::from_millis(100));
        let logged: Vec<u64> = ten_per_second.filter_map(|now| limit.take(now)).collect();
        assert_eq!(logged.len(), 60, "one line per minute in an hour");
        assert_eq!((logged[0], &logged[1..]), (0, &[599; 59][..]));
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
