//! How many requests, and how many bytes of their bodies, this node takes at once.

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

/// How many times `max_body` the bodies of all requests that arrive in chunks may take up together.
const CHUNKED_BODIES: usize = 8;

/// How many requests to the internal service may run on one link, besides its share of all others.
const INTERNAL_REQUESTS: usize = 1024;

/// The bounds of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_in_flight: usize,
    pub(crate) max_body: usize,
    /// How many quick calls of a method in a row let the next ones run inline, at first.
    pub(crate) inline_after: u32,
}

/// Counts what executes, and refuses what exceeds the bounds.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    load: Arc<Load>,
}

/// What executes at present.
#[derive(Debug, Default)]
struct Load {
    calls: AtomicUsize,
    /// Bytes announced for bodies in chunks.
    bytes: AtomicUsize,
    idle: Notify,
}

impl Load {
    /// Counts one more call, and returns how many there were before.
    fn enter(&self) -> usize {
        self.calls.fetch_add(1, Ordering::AcqRel)
    }

    fn leave(&self) {
        if self.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_waiters();
        }
    }
}

/// A request's place among those that execute, from its admission until this is dropped.
pub(crate) struct Permit {
    load: Arc<Load>,
    pub(super) method: Arc<ServedMethod>,
    bytes: usize,
    /// Whether it counts as a call: those to the internal service do not.
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

/// While it is held, the node is not idle.
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

    /// Admits a request with a body of `size` bytes to a method; `others` is how many
    /// requests of its link are not finished.
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
            // What nodes ask each other is neither a user's load nor delayed by it. No link has
            // many such requests at once, unless its peer floods it.
            let over_limit = others >= max_in_flight.saturating_add(INTERNAL_REQUESTS);
            return if over_limit { Err(Status::Overloaded) } else { Ok(permit) };
        }
        permit.counted = true;
        if self.load.enter() >= max_in_flight {
            return Err(Status::Overloaded);
        }
        Ok(permit)
    }

    /// Keeps the node from being idle, for a call that nobody waits for.
    pub(super) fn enter(&self) -> InFlightGuard {
        self.load.enter();
        InFlightGuard { load: Arc::clone(&self.load) }
    }

    /// Waits until no call executes. Dropping the future changes nothing.
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
