//! The parameters that all attempts of a call share.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{each_call::EachCall, selector::CallOptions};
use crate::{
    proto::routing::RetryPolicy,
    runtime::context::Context,
    service::Request,
    types::{Region, Target},
};

/// The default timeout of a call, the same as that of Fly.RPC.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Upper bound on the duration of a call: longer than any real call, and short enough to be added
/// to any time without overflow.
const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// How many handlers of local calls may enclose each other in one task. The handlers of deeper calls run in
/// tasks of their own, because each level takes part of the thread's stack.
const MAX_DEPTH: u32 = 32;

/// The parameters that all attempts of a call share.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) service: &'static str,
    pub(super) method: &'static str,
    pub(super) target: Target,
    /// Whether the call may run only on a node that considers itself primary, because its target or
    /// its method requires that.
    pub(super) primary: bool,
    pub(super) idempotent: bool,
    pub(super) start: CallStart,
    /// How long to wait for a node that can take the call.
    wait: Duration,
    /// Set if the call is one of those on many nodes.
    pub(super) each: Option<Arc<EachCall>>,
}

/// Which method a call calls, when it started, and what bounds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallStart {
    /// On this node's clock.
    pub(super) now: Instant,
    /// The total time of the call, from `now` on.
    pub(super) timeout: Duration,
    /// How much of the declared timeout had passed when the call started: zero, unless the call is one of
    /// those on many nodes.
    delay: Duration,
    /// The number of local calls whose handlers enclose the call in the same task.
    pub(super) depth: u32,
    /// The position of the method in its trait.
    method: u32,
}

impl CallStart {
    /// Starts a call of the method at position `method` of its trait `now`. If a handler makes it, the
    /// remaining time of the `enclosing` call bounds the timeout.
    pub(super) fn new<R: Request>(
        method: usize,
        options: &CallOptions,
        now: Instant,
        enclosing: Option<&Context>,
    ) -> Self {
        let left = enclosing.and_then(Context::bound_of_nested_calls);
        let declared = R::methods()[method].options.timeout;
        let timeout = options.timeout.or(declared).unwrap_or(DEFAULT_TIMEOUT);
        let delay = options.each.as_ref().map_or(Duration::ZERO, |each| each.delay(now));
        let timeout = timeout.saturating_sub(delay);
        CallStart {
            now,
            timeout: timeout.min(left.unwrap_or(MAX_DURATION)).min(MAX_DURATION),
            delay,
            depth: enclosing.map_or(0, |context| context.depth + 1),
            method: method as u32,
        }
    }

    /// On this node's clock.
    pub(super) fn deadline(&self) -> Instant {
        self.now + self.timeout
    }

    /// The time that a call was allowed to take, as reported in errors.
    pub(super) fn allowed(&self) -> Duration {
        self.delay + self.timeout
    }

    /// Whether the handler needs a task of its own if it runs on this node.
    pub(super) fn is_deep(&self) -> bool {
        self.depth >= MAX_DEPTH
    }
}

impl Call {
    /// Returns the parameters of a call.
    pub(super) fn new<R: Request>(
        options: &CallOptions,
        primary_region: &Region,
        start: CallStart,
    ) -> Self {
        let method = &R::methods()[start.method as usize];
        let target = options.selector.target(method.options.primary, primary_region);
        Call {
            service: R::SERVICE,
            method: method.name,
            primary: method.options.primary || target.is_primary(),
            target: target.to_owned(),
            idempotent: method.options.idempotent,
            start,
            wait: options.wait.or(method.options.wait).unwrap_or_default(),
            each: options.each.clone(),
        }
    }

    /// The remaining time of the call.
    pub(super) fn remaining(&self, now: Instant) -> Duration {
        self.start.deadline().saturating_duration_since(now)
    }

    pub(super) fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            idempotent: self.idempotent,
            started: self.start.now.into_std(),
            deadline: self.start.deadline().into_std(),
            wait: self.wait,
        }
    }
}
