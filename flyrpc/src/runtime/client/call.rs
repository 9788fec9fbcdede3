//! The parameters that all attempts of a call share.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    each_call::EachCall,
    selector::{CallMetadata, CallOptions, Selector, fields},
};
use crate::{
    proto::{
        routing::RetryPolicy,
        wire::request_fields::{self, TraceField},
    },
    runtime::{context::Context, link::Link},
    service::{Hedge, Request},
    telemetry::CallSpan,
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
    /// The first target.
    pub(super) target: Target,
    /// The targets that are tried after the first one, in order. Always empty if the method runs only on
    /// primary nodes.
    further: Vec<Target>,
    /// Whether the method runs only on a node that considers itself primary.
    primary_only: bool,
    pub(super) idempotent: bool,
    pub(super) hedge: Option<Hedge>,
    pub(super) start: CallStart,
    /// How long to wait for a node that can take the call.
    wait: Duration,
    /// Sent with each attempt, if there is any.
    pub(super) metadata: Option<Arc<CallMetadata>>,
    /// The encoded fields of its requests, if it sends the context of a trace.
    trace: Option<FieldsWithTrace>,
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
    #[inline(always)]
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
        let delay = delay.min(timeout);
        let timeout = timeout - delay;
        CallStart {
            now,
            timeout: timeout.min(left.unwrap_or(MAX_DURATION)).min(MAX_DURATION),
            delay,
            depth: enclosing.map_or(0, |context| context.depth + 1),
            method: method as u32,
        }
    }

    /// The position of the method in its trait.
    pub(super) fn method(&self) -> usize {
        self.method as usize
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

/// The encoded optional fields of the requests of a call that sends the context of its span.
#[derive(Debug)]
pub(super) enum FieldsWithTrace {
    TraceOnly(TraceField),
    Encoded(Box<[u8]>),
}

impl FieldsWithTrace {
    /// Returns `None` if the span has no context.
    pub(super) fn new(metadata: Option<&CallMetadata>, span: &CallSpan) -> Option<Self> {
        let context = span.context()?;
        if metadata.is_none()
            && let Some(field) = request_fields::encode_trace(context)
        {
            return Some(FieldsWithTrace::TraceOnly(field));
        }
        let metadata = metadata.map(|metadata| &*metadata.metadata);
        Some(FieldsWithTrace::Encoded(request_fields::encode(metadata, Some(context))))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            FieldsWithTrace::TraceOnly(fields) => fields,
            FieldsWithTrace::Encoded(fields) => fields,
        }
    }
}

impl Call {
    /// Returns the parameters of a call with this span.
    pub(super) fn new<R: Request>(
        options: &CallOptions,
        primary_region: &Region,
        start: CallStart,
        span: Option<&CallSpan>,
    ) -> Self {
        let method = &R::methods()[start.method as usize];
        let metadata = options.metadata.as_deref();
        let primary_only = method.options.primary;
        let target = |selector: &Selector| selector.target(primary_only, primary_region).to_owned();
        let further = options.further.as_deref().filter(|_| !primary_only).unwrap_or_default();
        Call {
            service: R::SERVICE,
            method: method.name,
            target: target(&options.selector),
            further: further.iter().map(target).collect(),
            primary_only,
            idempotent: method.options.idempotent,
            hedge: method.options.hedge,
            start,
            wait: options.wait.or(method.options.wait).unwrap_or_default(),
            metadata: options.metadata.clone(),
            trace: span.and_then(|span| FieldsWithTrace::new(metadata, span)),
            each: options.each.clone(),
        }
    }

    /// The encoded optional fields of its requests.
    pub(super) fn fields(&self) -> &[u8] {
        let without_trace = || fields(self.metadata.as_deref());
        self.trace.as_ref().map_or_else(without_trace, FieldsWithTrace::bytes)
    }

    /// The target at this position, from 0.
    pub(super) fn target_at(&self, position: usize) -> &Target {
        match position.checked_sub(1) {
            None => &self.target,
            Some(further) => &self.further[further],
        }
    }

    /// All targets, in order.
    pub(super) fn targets(&self) -> Vec<Target> {
        [&self.target].into_iter().chain(&self.further).cloned().collect()
    }

    /// Whether the call has more than one target.
    pub(super) fn has_further_targets(&self) -> bool {
        !self.further.is_empty()
    }

    /// Whether an attempt on the target at this position may run only on a node that considers itself
    /// primary, because the target or the method requires that.
    pub(super) fn is_primary_at(&self, position: usize) -> bool {
        self.primary_only || self.target_at(position).borrowed().is_primary()
    }

    /// The remaining time of the call.
    pub(super) fn remaining(&self, now: Instant) -> Duration {
        self.start.deadline().saturating_duration_since(now)
    }

    /// Returns how long an attempt over `link` may take before another one starts in parallel.
    pub(super) fn hedge_delay(&self, link: &Link) -> Option<Duration> {
        match self.hedge? {
            Hedge::After(delay) => Some(delay),
            Hedge::Percentile(percent) => {
                link.region_calls().percentile(self.service, self.method, percent)
            }
        }
    }

    /// Records the latency of the first attempt, over `link`, for the delays of later calls. `None` if it has taken
    /// longer than its delay.
    pub(super) fn observe_latency(&self, link: &Link, latency: Option<Duration>) {
        if let Some(Hedge::Percentile(_)) = self.hedge {
            link.region_calls().observe_for_percentile(self.service, self.method, latency);
        }
    }

    pub(super) fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            idempotent: self.idempotent,
            targets: 1 + self.further.len(),
            started: self.start.now.into_std(),
            deadline: self.start.deadline().into_std(),
            wait: self.wait,
        }
    }
}
