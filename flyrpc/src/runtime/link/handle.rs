//! The handle of a link, which the node and the link's tasks share.
//!
//! The handle consists of a few state machines of [`proto::link`](crate::proto::link), each behind
//! its own lock, and the signals that wake their users. The locks are held only briefly. No code
//! panics while it holds one, and no user code runs under one.

mod accessors;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::Waker,
};

use arc_swap::ArcSwap;
use smol_str::SmolStr;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    deadlines::Deadlines, event::LinkEvent, node_health::NodeHealth, outcomes::Outcomes,
    peer::Peer, pick_fields::PickFields, region_calls::RegionCalls,
};
use crate::{
    env::Env,
    proto::{
        link::{
            batch::Batch, in_flight::InFlight, inbound::Inbound, lifecycle::LinkError,
            liveness::QuietChange, outbox::Outbox, sent::SentBytes,
        },
        routing::{BudgetExhausted, Median, NodeLoad},
        wire::{
            frame::{self, GoAway},
            ids::MethodIndex,
            state::State,
        },
    },
    service::ServiceKind,
    types::{KeyId, LinkStats, NodeInfo, ServiceSpec},
};

/// Size limit in bytes for bodies of the internal service, if the limit for user services is
/// smaller. Such a body may hold the members of a large cluster.
pub(crate) const INTERNAL_BODY_MAX: usize = 4 << 20;

/// Receives every event on a link. Must not block.
pub(crate) type EventSink = Box<dyn Fn(&Arc<Link>, LinkEvent) + Send + Sync>;

/// One end of an open connection to a node.
pub(crate) struct Link {
    pub(super) peer: Peer,
    /// Maximum size of a body in either direction, in bytes.
    body_limit: usize,
    clock: LocalClock,
    events: EventSink,
    /// The calls to the peer's region.
    pub(super) region_calls: Arc<RegionCalls>,
    pub(super) picked: PickFields,
    /// The load of the peer, which is also part of `health`.
    pub(super) load: Arc<NodeLoad>,
    pub(super) health: Arc<NodeHealth>,
    pub(super) outcomes: Outcomes,
    /// If both are locked, `in_flight` is locked first.
    outbox: Mutex<Outbox>,
    in_flight: Mutex<InFlight>,
    inbound: Mutex<Inbound<Waker>>,
    /// The number of cancellations by the peer, so that requests whose number has not changed need not be
    /// looked up in `inbound`.
    pub(super) cancellations: AtomicU32,
    pub(super) sent: SentBytes,
    pub(super) signals: Signals,
    /// The timer of the calls in flight.
    pub(super) deadlines: Deadlines,
}

/// This end's clock.
struct LocalClock {
    env: Arc<dyn Env>,
    epoch: Instant,
}

/// The signals that wake tasks that wait on a link.
#[derive(Default)]
pub(super) struct Signals {
    /// See [`Link::is_idle`].
    idle: AtomicBool,
    /// Notified when the outbox holds something to write.
    pub(super) wake_writer: Notify,
    /// Set when a write that had to wait for the socket made progress, until the next heartbeat.
    pub(super) write_progress: AtomicBool,
    /// Canceled when the link ends, for any reason.
    pub(super) end: CancellationToken,
}

/// The initial values of a link.
pub(super) struct NewLink {
    pub(super) node: NodeInfo,
    pub(super) services: Arc<[ServiceSpec]>,
    pub(super) state: State,
    /// The set of statuses that the peer knows.
    pub(super) status_level: u64,
    /// The keys that the peer holds.
    pub(super) keys: Vec<KeyId>,
    /// The version of the peer's application.
    pub(super) version: SmolStr,
    /// The key that both ends have agreed on. `None` if the link is open.
    pub(super) sealed_with: Option<KeyId>,
    pub(super) is_visitor: bool,
    /// In microseconds, if the handshake measured it.
    pub(super) round_trip: Option<u64>,
    pub(super) body_limit: usize,
    pub(super) env: Arc<dyn Env>,
    pub(super) epoch: Instant,
    pub(super) events: EventSink,
    pub(super) region_calls: Arc<RegionCalls>,
}

impl Link {
    pub(super) fn new(new: NewLink) -> Self {
        let epoch = new.region_calls.micros_at(new.epoch.into_std());
        let now = new.region_calls.micros_at(new.env.now().into_std());
        // The first service is the internal one.
        let serves = new.services.len() > 1;
        let compats = new.region_calls.compats(new.services);
        let services = Arc::clone(compats.services());
        let picked = PickFields::new(compats, &new.state);
        let health = new.region_calls.on_linked(new.node.id(), serves, now);
        if let Some(round_trip) = new.round_trip {
            new.region_calls.on_round_trip(round_trip, now);
        }
        Link {
            peer: Peer {
                node: new.node,
                services,
                status_level: new.status_level,
                keys: new.keys,
                version: new.version,
                sealed_with: new.sealed_with,
                is_visitor: new.is_visitor,
                state: ArcSwap::from_pointee(new.state),
                state_change_announced: AtomicBool::new(false),
                round_trip: AtomicU64::new(new.round_trip.unwrap_or(u64::MAX)),
            },
            body_limit: new.body_limit,
            clock: LocalClock { env: new.env, epoch: new.epoch },
            events: new.events,
            region_calls: new.region_calls,
            picked,
            load: Arc::clone(health.load()),
            health,
            outcomes: Outcomes::new(epoch),
            outbox: Mutex::default(),
            in_flight: Mutex::default(),
            inbound: Mutex::default(),
            cancellations: AtomicU32::new(0),
            sent: SentBytes::default(),
            signals: Signals::default(),
            deadlines: Deadlines::default(),
        }
    }

    /// Whether the peer has been silent for so long that calls prefer other nodes.
    pub(crate) fn is_quiet(&self) -> bool {
        self.picked.quiet.load(Ordering::Relaxed)
    }

    /// Whether new requests may be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.picked.lifecycle.is_open()
    }

    /// Whether the peer announced on this link that it leaves the cluster.
    pub(crate) fn is_peer_leaving(&self) -> bool {
        self.picked.lifecycle.is_peer_leaving()
    }

    /// Whether the link has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.picked.lifecycle.error().is_some()
    }

    /// Returns why the link ended, if it has.
    pub(crate) fn error(&self) -> Option<LinkError> {
        self.picked.lifecycle.error().cloned()
    }

    /// Maximum size in bytes of a body that may be sent, for a service of this kind.
    pub(crate) fn limit(&self, of: ServiceKind) -> usize {
        match of {
            ServiceKind::Internal => self.body_limit.max(INTERNAL_BODY_MAX),
            ServiceKind::User => self.body_limit,
        }
    }

    /// Pays for a retry over this link from the budget of the peer's region. Returns false if the
    /// budget does not allow it.
    pub(crate) fn try_spend_retry(self: &Arc<Self>) -> bool {
        match self.region_calls.try_spend(self.now().into_std()) {
            Ok(()) => true,
            Err(BudgetExhausted { is_news }) => {
                if is_news {
                    self.announce(LinkEvent::RetriesExhausted);
                }
                false
            }
        }
    }

    /// The calls over all links to the peer's region.
    pub(crate) fn region_calls(&self) -> &RegionCalls {
        &self.region_calls
    }

    /// Counts a call for the budget of the peer's region.
    pub(crate) fn count_call(&self) {
        self.region_calls.count();
    }

    /// Announces to the peer which calls this node now accepts.
    pub(crate) fn send_state(&self, state: &State) {
        let encoded = state.encode();
        frame::put_state(&encoded, self.outbox().frames());
        self.wake_writer();
    }

    /// Whether replies are still in flight to a peer that appears to be alive.
    pub(crate) fn is_delivering(&self) -> bool {
        let under_way = match self.picked.lifecycle.error() {
            // A drained link is kept until the peer has read everything that was written.
            Some(error) => matches!(error, LinkError::Drained),
            // Everything in the socket precedes this end's `GoAway`. Until the peer responds to that
            // frame, the peer may not have read everything before it.
            None => {
                !self.picked.lifecycle.is_draining_there()
                    || !self.inbound().is_empty()
                    || !self.outbox().is_idle()
            }
        };
        under_way && !self.is_quiet()
    }

    /// Stops sending requests, and asks the peer to do the same. The link ends when the requests in
    /// flight in both directions are finished.
    pub(crate) fn drain(&self, reason: GoAway) {
        if self.picked.lifecycle.drain() {
            frame::put_go_away(reason, self.outbox().frames());
            self.wake_writer();
        }
        self.end_if_drained();
    }

    /// Ends the link immediately: calls in flight fail, handlers are aborted unless they are
    /// detached, and unsent data is discarded. Has no effect if the link has already ended.
    pub(crate) fn end(&self, error: LinkError) {
        if !self.picked.lifecycle.end(error) {
            return;
        }
        self.region_calls.on_unlinked(&self.health, self.node_micros());
        self.signals.end.cancel();
        // Requests stay in the outbox, because their calls check how much of each request was sent.
        let held = self.outbox().drop_replies();
        drop(held);
        self.wake_waiting();
        self.in_flight().close();
        let aborts = self.inbound().close();
        aborts.into_iter().for_each(Waker::wake);
    }

    /// Ends a link that both ends are draining, once nothing is in flight. The outbox is checked
    /// last, because the last reply is written after its request is finished.
    #[inline]
    pub(super) fn end_if_drained(&self) {
        if self.picked.lifecycle.is_draining_at_both_ends() {
            self.end_if_idle();
        }
    }

    #[cold]
    fn end_if_idle(&self) {
        let finished = self.waits_for_nothing() && self.inbound().is_empty();
        // The writer calls this again after writing the last replies.
        if finished && self.outbox().is_idle() {
            self.end(LinkError::Drained);
        }
    }

    /// Whether both ends are draining the link and this end waits for no response.
    pub(super) fn waits_for_nothing(&self) -> bool {
        self.picked.lifecycle.is_draining_at_both_ends() && self.in_flight().is_empty()
    }

    /// Describes what is in flight. `body_bytes` are the bytes of bodies that this node holds for the peer.
    pub(crate) fn stats(&self, body_bytes: u64) -> LinkStats {
        LinkStats {
            node: self.peer.node.clone(),
            calls: self.in_flight().len() as u64,
            requests: self.inbound().len() as u64,
            queued_bytes: self.outbox().queued_bytes() as u64,
            body_bytes,
        }
    }

    /// Whether several calls are in flight, so that their frames may share a write.
    pub(super) fn is_shared(&self) -> bool {
        self.in_flight().len() + self.inbound().len() > 1
    }

    /// Handles a change in which calls the peer accepts.
    pub(super) fn on_state(self: &Arc<Self>, mut state: State) {
        state.limit_to(&self.peer.services);
        if **self.peer.state.load() != state {
            let restricted = state.is_restricted();
            self.peer.state.store(Arc::new(state));
            self.picked.restricted.store(restricted, Ordering::Release);
            if !self.peer.state_change_announced.swap(true, Ordering::AcqRel) {
                self.announce(LinkEvent::StateChanged);
            }
        }
    }

    /// Handles a `GoAway`: the peer sends no more requests, and asks this node to stop too.
    pub(super) fn on_go_away(self: &Arc<Self>, reason: GoAway) {
        if !self.picked.lifecycle.on_go_away(reason) {
            return;
        }
        // Calls that wait for room must look for another link.
        self.wake_waiting();
        self.announce(LinkEvent::GoAway(reason));
        self.drain(GoAway::Replaced);
    }

    pub(super) fn on_quiet_change(self: &Arc<Self>, change: QuietChange) {
        self.picked.quiet.store(change == QuietChange::BecameQuiet, Ordering::Relaxed);
        if change == QuietChange::BecameQuiet {
            self.record_quiet();
            // Calls that may be repeated look for another node.
            self.in_flight().wake_all();
            self.wake_waiting();
        }
        self.announce(LinkEvent::QuietChanged);
    }

    /// Records the shortest of the last round trips, in microseconds.
    pub(super) fn on_round_trip(&self, round_trip: u64) {
        self.peer.round_trip.store(round_trip, Ordering::Relaxed);
        self.region_calls.on_round_trip(round_trip, self.node_micros());
    }

    /// Returns the current time in microseconds since this node was started.
    pub(super) fn node_micros(&self) -> u64 {
        self.region_calls.micros_at(self.now().into_std())
    }

    /// The median latency of a method of the peer in its region.
    #[inline(always)]
    pub(super) fn median(&self, method: MethodIndex) -> Option<&Median> {
        self.picked.compats.median(method)
    }

    /// Records whether calls have to wait for room. `outbox` is that of this link.
    #[inline]
    pub(super) fn update_congested(&self, outbox: &Outbox) {
        let congested = outbox.is_congested();
        if congested != self.picked.congested.load(Ordering::Relaxed) {
            self.picked.congested.store(congested, Ordering::Relaxed);
        }
    }

    pub(super) fn announce(self: &Arc<Self>, event: LinkEvent) {
        (self.events)(self, event);
    }

    pub(super) fn env(&self) -> &dyn Env {
        &*self.clock.env
    }

    /// Returns the current time on this end's clock.
    pub(super) fn now(&self) -> Instant {
        self.clock.env.now()
    }

    /// Converts `instant` to microseconds since the link was made.
    pub(super) fn micros_at(&self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.clock.epoch).as_micros() as u64
    }

    /// Wakes the writer, which sends the queued frames.
    pub(super) fn wake_writer(&self) {
        self.signals.wake_writer.notify_one();
    }

    /// Records that a write that had to wait for the socket made progress.
    pub(super) fn on_write_progress(&self) {
        self.signals.write_progress.store(true, Ordering::Relaxed);
    }

    /// Returns whether such a write has made progress since the last call of this method.
    pub(super) fn take_write_progress(&self) -> bool {
        self.signals.write_progress.swap(false, Ordering::Relaxed)
    }

    /// Whether few bytes arrive, so that the tasks of the link keep no memory while they wait.
    pub(super) fn is_idle(&self) -> bool {
        self.signals.idle.load(Ordering::Relaxed)
    }

    pub(super) fn set_idle(&self, is_idle: bool) {
        self.signals.idle.store(is_idle, Ordering::Relaxed);
    }

    /// Moves the bytes to write next into `batch`, and grants the room that this frees. Returns the
    /// number of bytes of frames, excluding chunks.
    pub(super) fn take_batch(&self, batch: &mut Batch, chunk_bytes: usize) -> u64 {
        let needs_time = self.outbox().needs_time();
        let now = needs_time.then(|| self.micros_at(self.now()));
        let mut wake = Vec::new();
        let frames = {
            let mut outbox = self.outbox();
            let frames = outbox.take(batch, chunk_bytes, now);
            outbox.grant_room(&mut wake);
            self.update_congested(&outbox);
            frames
        };
        wake.into_iter().for_each(Waker::wake);
        frames
    }

    /// Grants the available room in the outbox.
    pub(super) fn grant_room(&self) {
        let mut wake = Vec::new();
        {
            let mut outbox = self.outbox();
            outbox.grant_room(&mut wake);
            self.update_congested(&outbox);
        }
        wake.into_iter().for_each(Waker::wake);
    }

    /// Wakes all tasks that wait for room, because the state of the link has changed and they may have
    /// to stop waiting.
    fn wake_waiting(&self) {
        let mut wake = Vec::new();
        self.outbox().wake_waiting(&mut wake);
        wake.into_iter().for_each(Waker::wake);
    }

    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        lock(&self.outbox)
    }

    pub(super) fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        lock(&self.in_flight)
    }

    pub(super) fn inbound(&self) -> MutexGuard<'_, Inbound<Waker>> {
        lock(&self.inbound)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.peer.node)
            .field("ended", &self.picked.lifecycle.error())
            .finish_non_exhaustive()
    }
}

/// Locks a mutex. Nothing panics while it holds one of these locks, so poisoning is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
