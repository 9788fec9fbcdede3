//! Limits the requests, and the bytes of their bodies, that this node accepts at the same time.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use super::{
    budget::{Budget, Holding},
    memory::{BodyKind, Memory, PeerMemory},
    method_limit::MethodPermit,
    registry::ServedMethod,
};
use crate::{
    proto::wire::{frame::INLINE_BODY_MAX, status::Status},
    runtime::link::{INTERNAL_BODY_MAX, RequestPermit},
    service::ServiceKind,
    telemetry::{Observed, Observers},
    types::NodeId,
};

/// Upper bound on one peer's requests to the internal service in progress. Only a peer that floods this
/// node, or whose user repeats the same request again and again, reaches it.
const INTERNAL_REQUESTS: usize = 1024;

/// Upper bound on the total bytes of request bodies for the internal service, unless the limit for one
/// such body is larger.
const INTERNAL_BODIES: usize = 4 * INTERNAL_BODY_MAX;

/// Bodies of user calls up to this many bytes do not count: each takes less memory than its request, whose
/// number is bounded.
const UNCOUNTED_BODY: usize = 64;

/// A node's limits on the requests that it serves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_in_flight: usize,
    pub(crate) max_body: usize,
    pub(crate) max_body_memory: usize,
    /// The initial number of consecutive quick calls of a method after which its next calls run
    /// inline.
    pub(crate) inline_after: u32,
}

/// What is left of the node's limits. Counts the requests in progress, and refuses requests that exceed
/// the limits.
pub(super) struct Capacity {
    limits: Limits,
    load: Arc<Load>,
    /// The peers that are linked, and peers that were linked earlier.
    peers: Mutex<BTreeMap<NodeId, Weak<PeerLoad>>>,
}

/// The current load.
struct Load {
    /// Calls from peers in progress.
    slots: Budget,
    /// Detached calls of this node in progress.
    local: AtomicUsize,
    /// Bytes of the bodies of user calls: of arguments, from their announcement until they are decoded, and
    /// of long replies, until they are written.
    bodies: Memory,
    /// The same for calls to the internal service.
    internal_bodies: Memory,
    /// The number of peers with a link or a request in progress.
    peers: AtomicUsize,
    idle: Notify,
    /// The number of requests that are held.
    held: Mutex<usize>,
    observers: Option<Arc<Observers>>,
}

impl Load {
    fn is_idle(&self) -> bool {
        self.slots.is_unused() && self.local.load(Ordering::SeqCst) == 0
    }

    /// Changes the number of requests that are held. Locked, so that observers receive the numbers in order.
    fn change_held(&self, change: impl FnOnce(&mut usize)) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut held);
        if let Some(observers) = &self.observers {
            observers.observe(&Observed::Held(*held));
        }
    }
}

/// One peer's share of the limits, over all of its links.
pub(crate) struct PeerLoad {
    load: Arc<Load>,
    slots: Holding,
    /// The number of requests to the internal service in progress.
    internal_requests: AtomicUsize,
    bodies: Arc<PeerMemory>,
    internal_bodies: Arc<PeerMemory>,
}

impl PeerLoad {
    fn new(load: &Arc<Load>) -> Self {
        load.peers.fetch_add(1, Ordering::Relaxed);
        PeerLoad {
            load: Arc::clone(load),
            slots: Holding::default(),
            internal_requests: AtomicUsize::new(0),
            bodies: Arc::default(),
            internal_bodies: Arc::default(),
        }
    }
}

impl PeerLoad {
    /// Returns the number of requests to the internal service in progress.
    pub(super) fn internal_requests(&self) -> usize {
        self.internal_requests.load(Ordering::Relaxed)
    }

    /// Returns the bytes of bodies that the node holds for the peer.
    pub(super) fn body_bytes(&self) -> u64 {
        (self.bodies.used() + self.internal_bodies.used()) as u64
    }
}

impl Drop for PeerLoad {
    fn drop(&mut self) {
        self.load.peers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request as in progress, from its admission until this is dropped.
pub(crate) struct Permit {
    peer: Arc<PeerLoad>,
    pub(super) method: Arc<ServedMethod>,
    /// The bytes that the body of the request takes until it is decoded, or later those of a long reply.
    bytes: usize,
    bytes_of: BodyKind,
    /// Counts the request for the limit of its method, if there is one, while its handler runs.
    of_method: MethodPermit,
    is_held: bool,
}

impl Permit {
    fn take_body(&mut self, bytes: usize) -> Result<(), Cow<'static, Status>> {
        let (memory, of_peer, peers) = self.memory();
        if !memory.take(of_peer, bytes, peers) {
            return Err(Cow::Borrowed(&Status::Memory));
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Returns the memory for the body, the peer's part of it, and the number of linked peers.
    fn memory(&self) -> (&Memory, &Arc<PeerMemory>, &AtomicUsize) {
        let PeerLoad { load, bodies, internal_bodies, .. } = &*self.peer;
        match self.method.kind() {
            ServiceKind::User => (&load.bodies, bodies, &load.peers),
            ServiceKind::Internal => (&load.internal_bodies, internal_bodies, &load.peers),
        }
    }
}

impl Permit {
    /// Counts the call for the limit of its method. Returns false if the limit is reached.
    #[inline(always)]
    pub(super) fn on_handler_starts(&mut self) -> bool {
        if self.is_held {
            self.release_hold();
        }
        let Some(limit) = &self.method.limit else { return true };
        let permit = MethodPermit::take(Some(limit));
        let taken = permit.is_some();
        self.of_method = permit.unwrap_or(MethodPermit::UNLIMITED);
        taken
    }

    #[cold]
    fn release_hold(&mut self) {
        self.is_held = false;
        self.peer.load.change_held(|held| *held -= 1);
    }

    /// Lets another call of the method start, although the response may still wait.
    #[inline(always)]
    pub(super) fn on_handler_ended(&mut self) {
        self.of_method = MethodPermit::UNLIMITED;
    }
}

impl RequestPermit for Permit {
    fn take_memory(&mut self, bytes: usize) -> bool {
        if self.bytes_of == BodyKind::Reply {
            return true;
        }
        let (memory, of_peer, peers) = self.memory();
        let taken = memory.take_reply(of_peer, bytes, peers);
        if taken {
            (self.bytes, self.bytes_of) = (bytes, BodyKind::Reply);
        }
        taken
    }

    async fn wait_for_memory(&mut self, bytes: usize) {
        let (memory, of_peer, peers) = self.memory();
        memory.wait(of_peer, bytes, peers).await;
        (self.bytes, self.bytes_of) = (bytes, BodyKind::Reply);
    }

    fn release_memory(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let bytes_of = std::mem::replace(&mut self.bytes_of, BodyKind::Request);
        if bytes > 0 {
            let (memory, of_peer, peers) = self.memory();
            memory.give_back(of_peer, bytes_of, bytes, peers);
        }
    }

    fn hold(&mut self) {
        if !std::mem::replace(&mut self.is_held, true) {
            self.peer.load.change_held(|held| *held += 1);
        }
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if self.is_held {
            self.release_hold();
        }
        self.release_memory();
        let PeerLoad { load, slots, internal_requests, .. } = &*self.peer;
        match self.method.kind() {
            ServiceKind::User => {
                if load.slots.give_back(slots, 1) {
                    load.idle.notify_waiters();
                }
            }
            ServiceKind::Internal => {
                internal_requests.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// Keeps the node from being idle until it is dropped.
pub(crate) struct InFlightGuard {
    load: Arc<Load>,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.load.local.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.load.idle.notify_waiters();
        }
    }
}

impl Capacity {
    pub(super) fn new(limits: Limits, observers: Option<Arc<Observers>>) -> Self {
        let load = Load {
            slots: Budget::new(limits.max_in_flight),
            local: AtomicUsize::new(0),
            bodies: Memory::new(limits.max_body_memory),
            internal_bodies: Memory::new(INTERNAL_BODIES.max(limits.max_body)),
            peers: AtomicUsize::new(0),
            idle: Notify::new(),
            held: Mutex::new(0),
            observers,
        };
        Capacity { limits, load: Arc::new(load), peers: Mutex::default() }
    }

    /// Returns the load of `peer`, which all of its links share.
    pub(super) fn peer(&self, peer: &NodeId) -> Arc<PeerLoad> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = peers.get(peer).and_then(Weak::upgrade) {
            return known;
        }
        peers.retain(|_, known| known.strong_count() > 0);
        let new = Arc::new(PeerLoad::new(&self.load));
        peers.insert(peer.clone(), Arc::downgrade(&new));
        new
    }

    /// Takes a permit for a request from `peer` to a method, with a body of `size` bytes.
    #[inline(always)]
    pub(super) fn take(
        &self,
        peer: &Arc<PeerLoad>,
        method: &Arc<ServedMethod>,
        size: u64,
    ) -> Result<Permit, Cow<'static, Status>> {
        let max_body = self.limits.max_body;
        let internal = method.kind() == ServiceKind::Internal;
        let limit = if internal { max_body.max(INTERNAL_BODY_MAX) } else { max_body };
        let bytes = usize::try_from(size).ok().filter(|&size| size <= limit);
        let Some(bytes) = bytes else {
            return Err(Cow::Owned(Status::ArgumentsTooLarge { size, limit: limit as u64 }));
        };
        let load = &*self.load;
        let permit = || Permit {
            peer: Arc::clone(peer),
            method: Arc::clone(method),
            bytes: 0,
            bytes_of: BodyKind::Request,
            of_method: MethodPermit::UNLIMITED,
            is_held: false,
        };
        if internal {
            // Internal requests are not part of the user's load, and that load must not delay them.
            let others = peer.internal_requests.fetch_add(1, Ordering::Relaxed);
            let mut permit = permit();
            if others >= INTERNAL_REQUESTS {
                return Err(Cow::Borrowed(&Status::Overloaded));
            }
            // The number of small bodies is bounded by the number of requests.
            if bytes > INLINE_BODY_MAX {
                permit.take_body(bytes)?;
            }
            return Ok(permit);
        }
        if !load.slots.take(&peer.slots, 1, load.peers.load(Ordering::Relaxed)) {
            // `take` counts the request for a moment, so a task that waits in `idle` may have missed the last
            // call's end.
            if load.is_idle() {
                load.idle.notify_waiters();
            }
            return Err(Cow::Borrowed(&Status::Overloaded));
        }
        let mut permit = permit();
        // The call counts from the start of its handler, so that a request whose body does not arrive takes no place.
        if method.limit.as_ref().is_some_and(|limit| limit.is_reached()) {
            return Err(Cow::Borrowed(&Status::MethodOverloaded));
        }
        if bytes > UNCOUNTED_BODY {
            permit.take_body(bytes)?;
        }
        Ok(permit)
    }

    /// Returns the number of user calls from peers in progress.
    pub(super) fn in_flight(&self) -> usize {
        self.load.slots.used()
    }

    /// Returns the bytes of bodies that the node holds.
    pub(super) fn body_bytes(&self) -> u64 {
        (self.load.bodies.used() + self.load.internal_bodies.used()) as u64
    }

    /// Returns the number of requests that are held.
    pub(super) fn held(&self) -> u64 {
        *self.load.held.lock().unwrap_or_else(PoisonError::into_inner) as u64
    }

    /// Keeps the node from being idle while a detached call runs.
    pub(super) fn enter(&self) -> InFlightGuard {
        self.load.local.fetch_add(1, Ordering::SeqCst);
        InFlightGuard { load: Arc::clone(&self.load) }
    }

    /// Waits until no call is in progress. Dropping the future has no effect.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.load.idle.notified();
            if self.load.is_idle() {
                return;
            }
            idle.await;
        }
    }
}
