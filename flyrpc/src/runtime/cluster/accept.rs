//! The task that accepts connections and performs their handshakes.

use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{AbortHandle, BoxFuture, abortable},
    stream::FuturesUnordered,
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use super::{local_hello::LocalHelloSource, message::Message, sockets::ERROR_PAUSE};
use crate::{
    env::Listener,
    error::panic_message,
    runtime::{
        link::{self, DialError, Handshaken, MAX_LONG_HELLOS},
        shared::NodeShared,
    },
    telemetry::Observed,
};

/// Upper bound on concurrent inbound handshakes. Another connection evicts the oldest handshake of the
/// address that has the most. A node sends its hello immediately, so the oldest connection is the one
/// that has been silent longest, and it must not keep nodes out. At most 128 inbound connections are open, including
/// those that one turn of the task evicts.
const MAX_HANDSHAKES: usize = 128 - ACCEPT_TOGETHER;

/// While at least this many handshakes are in progress, connections are accepted only every [`FLOOD_PAUSE`], unless
/// more of them wait than one turn accepts. Strangers then cost less: by the time they are accepted, their first bytes
/// have arrived, and one wake-up of this task is enough for several of them.
const FLOOD: usize = MAX_HANDSHAKES / 2;
const FLOOD_PAUSE: Duration = Duration::from_millis(50);

/// Upper bound on the connections that are accepted before other tasks run.
const ACCEPT_TOGETHER: usize = 32;

/// The minimum time between two log lines about socket errors.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Accepts connections, and reports those that complete their handshake as nodes of this cluster.
///
/// The handshakes are part of this task, rather than a task each: most connections of strangers end with their first
/// bytes, and another task would often wake another thread.
pub(super) async fn accept(
    shared: Arc<NodeShared>,
    mut listener: Box<dyn Listener>,
    local_hello: LocalHelloSource,
    reports: mpsc::UnboundedSender<Message>,
) {
    let long_hellos = Semaphore::new(MAX_LONG_HELLOS);
    let mut handshakes = Handshakes::default();
    // For example, a process that has too many open files may fail to accept connections for hours.
    let (mut failures, mut refusals) = (LogLimit::default(), LogLimit::default());
    let mut pause_ends = None;
    loop {
        // The connections of evicted handshakes are closed first.
        let may_accept = handshakes.futures.len() <= MAX_HANDSHAKES;
        // Without tokio's budget, because peers that send again and again must not keep this task from accepting
        // connections. The number of polls is bounded by the number of handshakes.
        let ended = tokio::task::unconstrained(handshakes.next());
        let accept = async {
            if let Some(pause_ends) = pause_ends {
                tokio::time::sleep_until(pause_ends).await;
            }
            listener.accept().await
        };
        let accepted = tokio::select! {
            biased;
            () = shared.stop().cancelled() => return,
            Some(ended) = ended => {
                if let Some((from, result)) = ended {
                    on_ended(&shared, from, result, &mut refusals, &reports);
                }
                continue;
            }
            accepted = accept, if may_accept => accepted,
        };
        let mut next = Some(accepted);
        let mut count = 0;
        let mut pause = None;
        while let Some(accepted) = next {
            match accepted {
                Ok((stream, from)) => {
                    let (env, hello, long_hellos) = (shared.env(), local_hello.get(), &long_hellos);
                    let handshake =
                        async move { link::accept(&**env, stream, &hello, long_hellos).await };
                    handshakes.add(from, handshake.boxed());
                }
                Err(error) => {
                    if let Some(earlier) = failures.take(shared.env().now()) {
                        tracing::warn!(%error, earlier, "failed to accept a connection; will retry");
                    }
                    pause = Some(ERROR_PAUSE);
                    break;
                }
            }
            count += 1;
            next = (count < ACCEPT_TOGETHER).then(|| listener.accept().now_or_never()).flatten();
        }
        if count < ACCEPT_TOGETHER && handshakes.in_progress.len() >= FLOOD {
            pause = pause.or(Some(FLOOD_PAUSE));
        }
        pause_ends = pause.map(|pause| Instant::now() + pause);
        // Many connections at once must not delay everything else.
        tokio::task::yield_now().await;
    }
}

/// Reports how a handshake ended.
fn on_ended(
    shared: &NodeShared,
    from: SocketAddr,
    result: HandshakeResult,
    refusals: &mut LogLimit,
    reports: &mpsc::UnboundedSender<Message>,
) {
    let error = match result {
        Ok(Ok(mut handshaken)) => {
            if handshaken.is_visitor() {
                handshaken.set_origin(from);
            }
            // An error means that the node has ended.
            let _ = reports.send(Message::Accepted(Box::new(handshaken)));
            return;
        }
        Ok(Err(error)) => error,
        Err(panic) => {
            let message = panic_message(panic);
            tracing::error!(%from, panic = %message, "an inbound handshake panicked");
            return;
        }
    };
    shared.counters().on_handshake(error.kind());
    shared.notify(&Observed::Handshake(error.kind()));
    // Anyone can cause such errors.
    let logged = error.is_about_the_secret().then(|| refusals.take(shared.env().now()));
    match logged.flatten() {
        Some(earlier) => tracing::warn!(
            %from, %error, earlier,
            "refused a connection; compare FLYRPC_SECRET of this node with that of the node there"
        ),
        None => tracing::debug!(%from, %error, "inbound handshake failed"),
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

/// The result of a handshake. The outer error is a panic.
type HandshakeResult = Result<Result<Handshaken, DialError>, Box<dyn Any + Send>>;

/// The inbound handshakes in progress.
#[derive(Default)]
struct Handshakes<'a> {
    /// The result is `None` if the handshake was evicted.
    futures: FuturesUnordered<BoxFuture<'a, (u64, Option<HandshakeResult>)>>,
    /// The oldest one is the first.
    in_progress: VecDeque<InProgress>,
    /// The number of handshakes in progress of each address.
    counts: BTreeMap<IpAddr, usize>,
    /// The number of the next handshake.
    next: u64,
}

struct InProgress {
    number: u64,
    from: SocketAddr,
    evict: AbortHandle,
}

impl<'a> Handshakes<'a> {
    /// Adds a handshake with `from`.
    fn add(&mut self, from: SocketAddr, handshake: BoxFuture<'a, Result<Handshaken, DialError>>) {
        if self.in_progress.len() >= MAX_HANDSHAKES {
            self.evict();
        }
        let number = self.next;
        self.next += 1;
        let (handshake, evict) = abortable(AssertUnwindSafe(handshake).catch_unwind());
        self.futures.push(handshake.map(move |result| (number, result.ok())).boxed());
        self.in_progress.push_back(InProgress { number, from, evict });
        *self.counts.entry(from.ip()).or_default() += 1;
    }

    /// Waits for the next handshake that ends. Returns `Some(None)` if it was evicted, and `None` if none is in progress.
    async fn next(&mut self) -> Option<Option<(SocketAddr, HandshakeResult)>> {
        let (number, result) = self.futures.next().await?;
        let at = self.in_progress.binary_search_by_key(&number, |handshake| handshake.number);
        let ended = at.ok().and_then(|at| self.remove(at));
        Some(ended.zip(result).map(|(ended, result)| (ended.from, result)))
    }

    /// Evicts the oldest handshake of the addresses that have the most in progress, so that one machine
    /// cannot keep others out.
    fn evict(&mut self) {
        let most = self.counts.values().copied().max();
        let has_most =
            |handshake: &InProgress| self.counts.get(&handshake.from.ip()).copied() == most;
        let oldest = self.in_progress.iter().position(has_most);
        if let Some(evicted) = oldest.and_then(|at| self.remove(at)) {
            tracing::debug!(from = %evicted.from, "too many inbound handshakes: evicted the oldest");
            evicted.evict.abort();
        }
    }

    fn remove(&mut self, at: usize) -> Option<InProgress> {
        let removed = self.in_progress.remove(at)?;
        if let Some(count) = self.counts.get_mut(&removed.from.ip()) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&removed.from.ip());
            }
        }
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::{lazy, pending, ready};

    use super::*;

    fn from(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 3590).into()
    }

    /// Returns the next handshake that has ended and was not evicted: the last byte of its address, and its result.
    fn ended(handshakes: &mut Handshakes<'_>) -> Option<(u8, HandshakeResult)> {
        loop {
            let Some((from, result)) = handshakes.next().now_or_never()?? else { continue };
            let IpAddr::V4(ip) = from.ip() else { return None };
            return Some((ip.octets()[3], result));
        }
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
        let mut handshakes = Handshakes::default();
        handshakes.add(from(1), pending().boxed());
        for _ in 0..3 * MAX_HANDSHAKES {
            handshakes.add(from(2), pending().boxed());
        }
        assert!(ended(&mut handshakes).is_none());
        let numbers: Vec<u64> = handshakes.in_progress.iter().map(|one| one.number).collect();
        let last = handshakes.next;
        let newest = last - (MAX_HANDSHAKES as u64 - 1)..last;
        assert_eq!(numbers, [0].into_iter().chain(newest).collect::<Vec<_>>());
        assert_eq!(
            handshakes.futures.len(),
            MAX_HANDSHAKES,
            "the connections of others are closed"
        );
        assert_eq!(handshakes.counts[&from(2).ip()], MAX_HANDSHAKES - 1);
    }

    #[test]
    fn handshakes_that_have_ended_evict_none() {
        let mut handshakes = Handshakes::default();
        handshakes.add(from(1), pending().boxed());
        for _ in 0..2 * MAX_HANDSHAKES {
            handshakes.add(from(2), ready(Err(DialError::HandshakeTimeout)).boxed());
            assert!(matches!(ended(&mut handshakes), Some((2, Ok(Err(_))))));
        }
        assert_eq!(handshakes.in_progress.len(), 1);
        assert_eq!(handshakes.counts, BTreeMap::from([(from(1).ip(), 1)]));
    }

    #[test]
    fn a_handshake_that_panics_ends_no_other() {
        let mut handshakes = Handshakes::default();
        handshakes.add(from(1), lazy(|_| panic!("of a test")).boxed());
        handshakes.add(from(2), ready(Err(DialError::HandshakeTimeout)).boxed());
        assert!(matches!(ended(&mut handshakes), Some((1, Err(_)))));
        assert!(matches!(ended(&mut handshakes), Some((2, Ok(Err(_))))));
    }
}
