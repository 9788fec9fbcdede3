//! Limits the requests, and the bytes of their bodies, that this node accepts at the same time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

use super::registry::ServedMethod;
use crate::{
    proto::wire::{frame::INLINE_BODY_MAX, status::Status},
    runtime::link::INTERNAL_BODY_MAX,
    service::ServiceKind,
};

/// Upper bound on the total bytes of all request bodies that arrive in chunks, as a multiple of
/// `max_body`.
const CHUNKED_BODIES: usize = 8;

/// How many requests of one link may be unfinished in excess of `max_in_flight` before requests to
/// the internal service are refused.
const INTERNAL_REQUESTS: usize = 1024;

/// A node's limits on the requests that it serves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_in_flight: usize,
    pub(crate) max_body: usize,
    /// The initial number of consecutive quick calls of a method after which its next calls run
    /// inline.
    pub(crate) inline_after: u32,
}

/// Counts the requests in progress, and refuses requests that exceed the limits.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    load: Arc<Load>,
}

/// The current load.
#[derive(Debug, Default)]
struct Load {
    calls: AtomicUsize,
    /// Total bytes announced for bodies that arrive in chunks.
    bytes: AtomicUsize,
    idle: Notify,
}

impl Load {
    /// Adds a call, and returns the previous number of calls.
    fn enter(&self) -> usize {
        self.calls.fetch_add(1, Ordering::AcqRel)
    }

    fn leave(&self) {
        if self.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_waiters();
        }
    }
}

/// Counts a request as in progress, from its admission until this is dropped.
pub(crate) struct Permit {
    load: Arc<Load>,
    pub(super) method: Arc<ServedMethod>,
    bytes: usize,
    /// Whether the request counts as a call. Requests to the internal service do not.
    counted: bool,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.counted {
            self.load.leave();
        }
    }
}

/// Keeps the node from being idle until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlightGuard {
    load: Arc<Load>,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.load.leave();
    }
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Admission { limits, load: Arc::default() }
    }

    /// Admits a request to a method, with a body of `size` bytes. `others` is the number of other
    /// unfinished requests on its link.
    pub(super) fn admit(
        &self,
        method: &Arc<ServedMethod>,
        size: u64,
        others: usize,
    ) -> Result<Permit, Status> {
        let Limits { max_in_flight, max_body, .. } = self.limits;
        let internal = method.kind() == ServiceKind::Internal;
        let limit = if internal { max_body.max(INTERNAL_BODY_MAX) } else { max_body };
        let bytes = usize::try_from(size).ok().filter(|&size| size <= limit);
        let bytes = bytes.ok_or(Status::ArgumentsTooLarge { size, limit: limit as u64 })?;
        let bytes = if bytes > INLINE_BODY_MAX { bytes } else { 0 };
        let before = self.load.bytes.fetch_add(bytes, Ordering::Relaxed);
        let load = Arc::clone(&self.load);
        let mut permit = Permit { load, method: Arc::clone(method), bytes, counted: false };
        if before + bytes > CHUNKED_BODIES * limit {
            return Err(Status::Overloaded);
        }
        if internal {
            // Internal requests are not part of the user's load, and that load must not delay them.
            // A link has many internal requests at the same time only if its peer floods it.
            let over_limit = others >= max_in_flight.saturating_add(INTERNAL_REQUESTS);
            return if over_limit { Err(Status::Overloaded) } else { Ok(permit) };
        }
        permit.counted = true;
        if self.load.enter() >= max_in_flight {
            return Err(Status::Overloaded);
        }
        Ok(permit)
    }

    /// Keeps the node from being idle while a detached call runs.
    pub(super) fn enter(&self) -> InFlightGuard {
        self.load.enter();
        InFlightGuard { load: Arc::clone(&self.load) }
    }

    /// Waits until no call is in progress. Dropping the future has no effect.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.load.idle.notified();
            if self.load.calls.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}
