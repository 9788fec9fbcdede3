//! One connection to one node, which carries all services both ways.
//!
//! [`handshake`] makes a connection into two ends that know each other; [`Link`] is what the rest
//! of the node holds of one. Two tasks serve it: [`reader`] takes frames in, answers pings, keeps
//! the link's [`clock`] and starts requests; [`writer`] empties the [`outbox`]. What runs the
//! requests is not this room's business: it reaches it as [`Serve`].

mod handshake;
mod pending;
mod reader;
mod writer;

use std::{
    any::TypeId,
    collections::BTreeMap,
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::AbortHandle;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use self::pending::Calls;
pub(crate) use self::{
    handshake::{DialError, Handshaken, LocalHello, accept, dial},
    pending::{Lost, OutboundCall, Response},
};
use crate::proto::link::outbox::Outbox;
use crate::service::{Request, signatures};
use crate::{
    codec::bytes::Malformed,
    env::Env,
    error::Refusal,
    proto::{
        routing::{Compat, Compats, Endpoint, LinkStatus},
        wire::{
            frame::{self, GoAway, RequestHead},
            hello::State,
            ids::RequestId,
            status::Status,
        },
    },
    types::{NodeInfo, ServiceSpec},
};

/// The most bytes of a body of flyrpc's own service, whatever a node takes of its users': the members
/// of a large cluster.
pub(crate) const INTERNAL_BODY_MAX: usize = 4 << 20;

/// After so many heartbeats without a word from the peer, other nodes are preferred.
const QUIET_HEARTBEATS: u32 = 2;

/// After so many heartbeats without a word from the peer, the link is broken.
const SILENT_HEARTBEATS: u32 = 5;

/// Runs the requests that a peer sends.
pub(crate) trait Serve: Send + Sync + 'static {
    /// What a request holds from its admission to its end: its place among those in flight.
    type Admission: Send + 'static;

    /// Decides whether a request may start at all, before its body is read.
    /// `beside` is how many requests of the link are running or waiting already.
    fn admit(
        &self,
        head: &RequestHead,
        size: u64,
        beside: usize,
    ) -> Result<Self::Admission, Status>;

    /// Starts admitted requests, and answers them on `link` in their time.
    fn start(self: &Arc<Self>, link: &Arc<Link>, requests: Vec<(Self::Admission, Incoming)>);
}

/// A request whose body is complete and whose caller still waits.
pub(crate) struct Incoming {
    pub(crate) id: RequestId,
    pub(crate) attempt: u32,
    /// On this node's clock.
    pub(crate) deadline: Instant,
    pub(crate) body: Bytes,
}

/// What happens to a link while it is open, and its end.
pub(crate) struct LinkEvent {
    pub(crate) link: Arc<Link>,
    pub(crate) kind: LinkEventKind,
}

pub(crate) enum LinkEventKind {
    /// The peer accepts other calls than before.
    StateChanged,
    /// It was quiet and is not any more, or the other way round.
    QuietChanged,
    /// The peer asks for no more requests.
    GoAway(GoAway),
    /// The link is of no more use.
    Ended(LinkError),
}

/// What ended a link.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LinkError {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(Arc<io::Error>),
    #[error("the peer was silent for {SILENT_HEARTBEATS} heartbeats of {0:?}")]
    HeartbeatTimeout(Duration),
    #[error("the peer answered no ping for {0:?}")]
    PongTimeout(Duration),
    #[error("the peer sends and does not read what it is answered")]
    OutboxOverflow,
    #[error("the peer sent a {0}")]
    Malformed(Malformed),
    #[error("the link was retired")]
    Retired,
    /// It ended after the peer had said that it leaves, with calls under way.
    #[error(
        "the node was shut down, which waits for calls no longer than its drain timeout allows"
    )]
    Left,
    #[error("this node was shut down")]
    ShutDown,
}

/// One end of an open connection to a node.
pub(crate) struct Link {
    peer: NodeInfo,
    services: Arc<[ServiceSpec]>,
    compats: ArcSwap<Vec<(TypeId, Arc<Compats>)>>,
    state: ArcSwap<State>,
    /// Whether a change of it was announced and not looked at yet.
    state_is_news: AtomicBool,
    /// The most bytes of a body in either direction.
    limit: usize,
    env: Arc<dyn Env>,
    epoch: Instant,
    events: Listener,
    outbox: Mutex<Outbox>,
    /// How many bytes of frames, in the outbox's count, the socket has taken; while it is about to
    /// take some, how many it may have taken.
    written: AtomicU64,
    wake_writer: Notify,
    space: Notify,
    calls: Mutex<Calls>,
    running: Mutex<BTreeMap<RequestId, Run>>,
    quiet_for: AtomicU32,
    round_trip: AtomicU64,
    /// Whether this end, and the other, will start no more requests.
    retired: [AtomicBool; 2],
    /// Whether the peer said that it leaves.
    left: AtomicBool,
    ended: OnceLock<LinkError>,
    /// Cancelled at the end, whatever it was; the tasks wait for it.
    end: CancellationToken,
}

/// How far a request of the peer's has come.
enum Run {
    /// Its handler has not been polled, or is polled for the first time.
    Waiting,
    /// It waits for something.
    Abortable(AbortHandle),
    /// It runs to its end, whether anybody waits for it or not.
    Detached,
}

const OURS: usize = 0;
const THEIRS: usize = 1;

type Listener = Box<dyn Fn(LinkEvent) + Send + Sync>;

/// What a link needs of the node that it belongs to.
pub(crate) struct LinkParams<S> {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) serve: Arc<S>,
    /// Called for everything that happens to the link. Must not block.
    pub(crate) events: Listener,
    pub(crate) heartbeat: Duration,
    pub(crate) max_body: usize,
}

impl Link {
    /// Makes an established connection a link, and starts its two tasks.
    pub(crate) fn start<S: Serve>(established: Handshaken, node: LinkParams<S>) -> Arc<Link> {
        let Handshaken { stream, hello, epoch, clock, leftover, first_frames, .. } = established;
        let link = Arc::new(Link {
            peer: hello.node,
            services: hello.services,
            compats: ArcSwap::default(),
            state: ArcSwap::from_pointee(hello.state),
            state_is_news: AtomicBool::new(false),
            limit: node.max_body.min(usize::try_from(hello.max_body).unwrap_or(usize::MAX)),
            env: Arc::clone(&node.env),
            epoch,
            events: node.events,
            outbox: Mutex::default(),
            written: AtomicU64::new(0),
            wake_writer: Notify::new(),
            space: Notify::new(),
            calls: Mutex::default(),
            running: Mutex::default(),
            quiet_for: AtomicU32::new(0),
            round_trip: AtomicU64::new(clock.round_trip().unwrap_or(u64::MAX)),
            retired: Default::default(),
            left: AtomicBool::new(false),
            ended: OnceLock::new(),
            end: CancellationToken::new(),
        });
        link.post(|to| to.extend_from_slice(&first_frames));
        let writer = writer::run(Arc::clone(&link), stream.writer);
        let reader = reader::run(
            Arc::clone(&link),
            stream.reader,
            leftover,
            clock,
            node.serve,
            node.heartbeat,
        );
        node.env.spawn(Box::pin(writer));
        node.env.spawn(Box::pin(reader));
        link
    }

    /// The node at the other end.
    pub(crate) fn peer(&self) -> &NodeInfo {
        &self.peer
    }

    /// What the peer serves besides flyrpc's own service.
    pub(crate) fn own_services(&self) -> &[ServiceSpec] {
        self.services.get(1..).unwrap_or_default()
    }

    /// How the methods of a trait fit what the peer serves. Compared once for each trait and link.
    pub(crate) fn compats<R: Request>(&self) -> Arc<Compats> {
        let id = TypeId::of::<R>();
        if let Some((_, compats)) = self.compats.load().iter().find(|(of, _)| *of == id) {
            return Arc::clone(compats);
        }
        let new: Arc<Compats> = Compat::all(R::SERVICE, signatures::<R>(), &self.services).into();
        let before = self.compats.rcu(|compats| {
            let mut compats = Vec::clone(compats);
            compats.push((id, Arc::clone(&new)));
            compats
        });
        let incompatible: Vec<String> = Compat::unfit(signatures::<R>(), &new).collect();
        if !incompatible.is_empty() && before.iter().all(|(of, _)| *of != id) {
            let (node, service) = (&self.peer, R::SERVICE);
            tracing::info!(%node, service, ?incompatible, "node serves another version of a service");
        }
        new
    }

    /// What the peer accepts now.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// To be called before [`state`](Link::state) is read after [`LinkEventKind::StateChanged`]: the
    /// next change is announced again.
    pub(crate) fn look_at_state(&self) {
        self.state_is_news.store(false, Ordering::Release);
    }

    /// The shortest of the last round trips.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        match self.round_trip.load(Ordering::Relaxed) {
            u64::MAX => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    /// Whether the peer has said nothing for so long that other nodes are preferred.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet_for.load(Ordering::Relaxed) >= QUIET_HEARTBEATS
    }

    /// Whether new requests may be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.ended.get().is_none()
            && !self.retired.iter().any(|retired| retired.load(Ordering::Acquire))
    }

    /// What ended the link, if it has ended.
    pub(crate) fn error(&self) -> Option<LinkError> {
        self.ended.get().cloned()
    }

    /// The most bytes of a body that may be sent; `own` if it is of flyrpc's own service.
    pub(crate) fn limit(&self, own: bool) -> usize {
        if own { self.limit.max(INTERNAL_BODY_MAX) } else { self.limit }
    }

    /// Tells the peer what this node accepts now.
    pub(crate) fn send_state(&self, state: &State) {
        let encoded = state.encode();
        self.post(|to| frame::put_state(&encoded, to));
    }

    /// Whether replies are still on their way to a peer that is there, as far as is known.
    pub(crate) fn is_delivering(&self) -> bool {
        let under_way = match self.ended.get() {
            // A link that ended well is kept until the peer has taken in all that was written.
            Some(error) => matches!(error, LinkError::Retired),
            // What the socket has taken comes before this end's goodbye, which the peer answers.
            None => {
                !self.retired[THEIRS].load(Ordering::Acquire)
                    || !lock(&self.running).is_empty()
                    || !lock(&self.outbox).is_idle()
            }
        };
        under_way && !self.is_quiet()
    }

    /// Starts no more requests and asks for none. When those under way in both directions are
    /// finished, the link ends.
    pub(crate) fn retire(&self, reason: GoAway) {
        if !self.retired[OURS].swap(true, Ordering::AcqRel) {
            self.post(|to| frame::put_go_away(reason, to));
        }
        self.end_if_finished();
    }

    /// Ends the link now: what waits is lost, what runs is aborted, and what was not yet sent is
    /// discarded.
    pub(crate) fn abort(&self, error: LinkError) {
        self.finish(error);
    }

    /// Appends control frames, which never wait for space.
    fn post(&self, put: impl FnOnce(&mut Vec<u8>)) {
        put(lock(&self.outbox).frames());
        self.wake_writer.notify_one();
    }

    /// This end's clock, in microseconds since the link was made.
    fn clock_micros(&self) -> u64 {
        self.micros_at(self.env.now())
    }

    fn micros_at(&self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.epoch).as_micros() as u64
    }

    /// Notes that a request runs, and tells how many others do. None if there is one of that id
    /// already.
    fn running(&self, id: RequestId) -> Option<usize> {
        let mut running = lock(&self.running);
        if running.contains_key(&id) {
            return None;
        }
        running.insert(id, Run::Waiting);
        Some(running.len() - 1)
    }

    /// Whether a request that was to be started still is: it was not cancelled, and the link has not
    /// ended.
    pub(crate) fn is_wanted(&self, id: RequestId) -> bool {
        lock(&self.running).contains_key(&id)
    }

    /// Lets a request that runs be aborted when it is cancelled or the link ends.
    pub(crate) fn abortable(&self, id: RequestId, abort: AbortHandle) {
        let mut running = lock(&self.running);
        match running.get_mut(&id) {
            Some(run) => *run = Run::Abortable(abort),
            // It was cancelled or the link has ended since the request was read.
            None => abort.abort(),
        }
    }

    /// Lets a request run to its end, even if it is cancelled.
    pub(crate) fn detached(&self, id: RequestId) {
        if let Some(run) = lock(&self.running).get_mut(&id) {
            *run = Run::Detached;
        }
    }

    /// Answers a request, `own` if it was to flyrpc's own service, once there is space for the
    /// answer. Dropping the future drops the answer.
    pub(crate) async fn answer(
        &self,
        own: bool,
        id: RequestId,
        mut answer: Result<Vec<u8>, Status>,
    ) {
        loop {
            let space = self.space.notified();
            match self.try_answer(own, id, answer) {
                None => return self.send_answers(),
                Some(again) => answer = again,
            }
            space.await;
        }
    }

    /// Answers a request, if there is space for the answer; else gives it back. It goes out with the next
    /// [`send_answers`](Link::send_answers), if not before.
    pub(crate) fn try_answer(
        &self,
        own: bool,
        id: RequestId,
        answer: Result<Vec<u8>, Status>,
    ) -> Option<Result<Vec<u8>, Status>> {
        let limit = self.limit(own);
        {
            let mut outbox = lock(&self.outbox);
            if outbox.is_full() && self.ended.get().is_none() {
                return Some(answer);
            }
            match answer {
                Ok(body) if body.len() > limit => {
                    let (size, limit) = (body.len() as u64, limit as u64);
                    let status = Status::ReplyTooLarge { size, limit };
                    frame::put_status(id, &status.encode(), outbox.frames());
                }
                Ok(body) => outbox.reply(id, body),
                Err(status) => frame::put_status(id, &status.encode(), outbox.frames()),
            }
        }
        self.ran(id);
        None
    }

    /// Lets the answers go out that wait for it.
    pub(crate) fn send_answers(&self) {
        self.wake_writer.notify_one();
    }

    /// Refuses a request: it did not execute. Never waits.
    pub(crate) fn refuse(&self, id: RequestId, status: &Status) {
        self.post(|to| frame::put_status(id, &status.encode(), to));
    }

    /// Notes that a request has ended without an answer: it was cancelled.
    pub(crate) fn ran(&self, id: RequestId) {
        lock(&self.running).remove(&id);
        self.end_if_finished();
    }

    fn cancelled(&self, id: RequestId) {
        let mut running = lock(&self.running);
        match running.get(&id) {
            Some(Run::Waiting) => {
                running.remove(&id);
                drop(running);
                self.end_if_finished();
            }
            Some(Run::Abortable(abort)) => {
                let abort = abort.clone();
                drop(running);
                abort.abort();
                lock(&self.outbox).forget_reply(id);
            }
            Some(Run::Detached) | None => {}
        }
    }

    /// Whether several calls are under way, whose frames may go out in one write.
    fn is_shared(&self) -> bool {
        lock(&self.calls).len() + lock(&self.running).len() > 1
    }

    /// Ends a link that both ends have retired, once nothing is under way: the last reply is written
    /// after its request has ceased to run, so what is still to be written is asked for last.
    fn end_if_finished(&self) {
        let finished = self.has_no_calls() && lock(&self.running).is_empty();
        // The last answers must be written: the writer asks again when they are.
        if finished && lock(&self.outbox).is_idle() {
            self.finish(LinkError::Retired);
        }
    }

    /// Whether the link is retired at both ends and this one waits for no answer.
    fn has_no_calls(&self) -> bool {
        let both = self.retired.iter().all(|retired| retired.load(Ordering::Acquire));
        both && lock(&self.calls).is_empty()
    }

    /// Ends the link, once.
    fn finish(&self, error: LinkError) {
        let expected = matches!(error, LinkError::Closed | LinkError::Broken(_));
        let error = match error {
            _ if expected && self.left.load(Ordering::Acquire) => LinkError::Left,
            error => error,
        };
        if self.ended.set(error).is_err() {
            return;
        }
        self.end.cancel();
        self.space.notify_waiters();
        lock(&self.calls).lose_all();
        let running = std::mem::take(&mut *lock(&self.running));
        for run in running.into_values() {
            if let Run::Abortable(abort) = run {
                abort.abort();
            }
        }
    }

    fn announce(self: &Arc<Self>, kind: LinkEventKind) {
        (self.events)(LinkEvent { link: Arc::clone(self), kind });
    }
}

impl Endpoint for Arc<Link> {
    fn standing(&self, service: &str) -> LinkStatus {
        if !self.is_open() {
            return LinkStatus::Lost;
        }
        let state = self.state.load();
        let own = self.services.first().is_some_and(|own| own.name == service);
        if state.draining && !own {
            return LinkStatus::NotAccepting(Refusal::Draining);
        }
        if (!state.accepting || state.withdrawn.iter().any(|name| name == service)) && !own {
            return LinkStatus::NotAccepting(Refusal::Held);
        }
        if self.is_quiet() { LinkStatus::Quiet } else { LinkStatus::Good }
    }

    fn round_trip(&self) -> Option<Duration> {
        Link::round_trip(self)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.peer)
            .field("ended", &self.ended.get())
            .finish_non_exhaustive()
    }
}

/// Nothing panics while it holds one of these locks, so a poisoned one is still sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
