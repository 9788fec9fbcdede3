//! What stays the same in all attempts of a call.

use std::time::Duration;

use tokio::time::Instant;

use super::selector::CallOptions;
use crate::{
    proto::routing::RetryPolicy,
    service::Request,
    types::{NodeInfo, Region, Target},
};

/// The time that a call has if nothing else is set: Fly.RPC's.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longer than any call, and short enough to be added to any time.
const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What stays the same in all attempts of a call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) service: &'static str,
    pub(super) method: &'static str,
    pub(super) target: Target,
    /// Whether it may run only on a node that considers itself primary: its target or its method
    /// says so.
    pub(super) primary: bool,
    idempotent: bool,
    /// When it was made, on this node's clock.
    started: Instant,
    /// On this node's clock.
    pub(super) deadline: Instant,
    /// How long to wait for a node.
    wait: Duration,
}

impl Call {
    /// A call made `now`, which has at most the time that is `left` of the call around it, if there is
    /// one.
    pub(super) fn new<R: Request>(
        request: &R,
        options: CallOptions,
        primary_region: &Region,
        now: Instant,
        left: Option<Duration>,
    ) -> Self {
        let method = &R::methods()[request.method()];
        let target = options.selector.target(method.options.primary, primary_region);
        let timeout = options.timeout.or(method.options.timeout).unwrap_or(DEFAULT_TIMEOUT);
        Call {
            service: R::SERVICE,
            method: method.name,
            primary: method.options.primary || matches!(target, Target::Primary(_)),
            target,
            idempotent: method.options.idempotent,
            started: now,
            deadline: now + timeout.min(left.unwrap_or(MAX_DURATION)).min(MAX_DURATION),
            wait: options.wait.or(method.options.wait).unwrap_or_default(),
        }
    }

    /// The time that the call has in all.
    pub(super) fn timeout(&self) -> Duration {
        self.deadline - self.started
    }

    /// The time that the call has left.
    pub(super) fn remaining(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }

    /// Whether the target includes this node, if it serves the method.
    pub(super) fn includes(&self, node: &NodeInfo) -> bool {
        match &self.target {
            Target::Region(region) | Target::Primary(region) => region == node.region(),
            Target::Node(id) => id == node.id(),
            Target::Nearest => true,
        }
    }

    pub(super) fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            idempotent: self.idempotent,
            started: self.started.into_std(),
            deadline: self.deadline.into_std(),
            wait: self.wait,
        }
    }
}
