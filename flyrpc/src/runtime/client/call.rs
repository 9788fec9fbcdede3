//! The life of one call: its target, its deadline, and its attempts.
//!
//! A call whose target is this node runs here ([`local`](super::local)). Any other goes to one node
//! at a time ([`remote`](super::remote)); it goes to a second one only if the first surely did not
//! start it, or if its method is idempotent.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use super::{
    local::{self, Encoded, Here},
    record::AttemptRecorder,
    remote,
    response::timeout,
    routed::{Routed, Selector},
};
use crate::{
    error::RpcError,
    runtime::{context::Context, shared::NodeShared},
    service::Request,
    types::Target,
};

/// The time that a call has if nothing says otherwise: Fly.RPC's.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longer than any call, and short enough to be added to any time.
const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What stays the same in all attempts of a call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) service: &'static str,
    pub(super) method: &'static str,
    pub(super) target: Target,
    /// Whether it may only run on a node that takes itself for primary: its target or its method
    /// says so.
    pub(super) primary: bool,
    pub(super) idempotent: bool,
    /// When it was made, on this node's clock.
    pub(super) begun: Instant,
    /// The time that the call has in all.
    pub(super) after: Duration,
    /// On this node's clock.
    pub(super) deadline: Instant,
    /// How long to wait for a node.
    pub(super) wait: Duration,
}

impl Call {
    fn new<R: Request>(routed: &Routed, request: &R, enclosing: Option<&Context>) -> Self {
        let method = &R::methods()[request.method()];
        let options = method.options;
        let target = match &routed.aim {
            Selector::Region(region) => Target::Region(region.clone()),
            Selector::Node(id) => Target::Node(id.clone()),
            Selector::Primary => Target::Primary(routed.node.primary_region().clone()),
            Selector::Default if options.primary => {
                Target::Primary(routed.node.primary_region().clone())
            }
            Selector::Default => Target::Nearest,
        };
        let own = routed.timeout.or(options.timeout).unwrap_or(DEFAULT_TIMEOUT);
        let enclosing = enclosing.map_or(MAX_DURATION, Context::remaining);
        let after = own.min(enclosing).min(MAX_DURATION);
        let begun = routed.node.env().now();
        Call {
            service: R::SERVICE,
            method: method.name,
            primary: options.primary || matches!(target, Target::Primary(_)),
            target,
            idempotent: options.idempotent,
            begun,
            after,
            deadline: begun + after,
            wait: routed.wait.or(options.wait).unwrap_or_default(),
        }
    }

    /// Why the call cannot even be tried, if so.
    fn impossible(&self, node: &NodeShared) -> Option<RpcError> {
        if node.is_shut_down() {
            return Some(self.shut_down());
        }
        self.after.is_zero().then(|| timeout(self, None, false))
    }

    /// That this node was shut down.
    pub(super) fn shut_down(&self) -> RpcError {
        RpcError::ShutDown { service: self.service, method: self.method }
    }

    /// Whether this node is of the target, if it serves the method.
    pub(super) fn is_here(&self, node: &NodeShared) -> bool {
        let me = node.me();
        match &self.target {
            Target::Region(region) | Target::Primary(region) => region == me.region(),
            Target::Node(id) => id == me.id(),
            Target::Nearest => true,
        }
    }
}

/// Makes a call, within the one that `enclosing` is the context of. Dropping the future cancels it.
pub(super) async fn make<R: Request>(
    routed: Routed,
    request: R,
    enclosing: Option<Context>,
) -> Result<R::Response, RpcError> {
    let node: &NodeShared = &routed.node;
    let enclosing = enclosing.or_else(Context::try_current);
    let call = Call::new(&routed, &request, enclosing.as_ref());
    let mut watch = AttemptRecorder::new(node, &call);
    if let Some(error) = call.impossible(node) {
        watch.finish(Some(&error));
        return Err(error);
    }
    let here = if call.is_here(node) { local::find(node, &request) } else { None };
    let outcome = match here {
        Some(Here::Typed(handler)) => local::call(node, &call, handler, request, &mut watch).await,
        // Boxed, as they are many times the size of a call that runs here, which would carry them.
        Some(Here::Encoded(method)) => {
            Box::pin(encoded(node, &call, method, &request, &mut watch)).await
        }
        None => Box::pin(remote::call(node, &call, &request, &mut watch)).await,
    };
    watch.finish(outcome.as_ref().err());
    outcome
}

/// Makes a call of another version of the trait that this node serves; or, if that takes other
/// arguments, on another node of the target.
async fn encoded<R: Request>(
    node: &NodeShared,
    call: &Call,
    method: Encoded<'_>,
    request: &R,
    watch: &mut AttemptRecorder<'_>,
) -> Result<R::Response, RpcError> {
    let unfit = match local::call_encoded(node, call, method, request, watch).await {
        Err(error @ RpcError::Unsupported { .. }) if !matches!(call.target, Target::Node(_)) => {
            error
        }
        outcome => return outcome,
    };
    watch.end(Some(&unfit));
    match remote::call(node, call, request, watch).await {
        // Nobody else can take it. What is wrong here says most of why.
        Err(RpcError::NoNode { .. } | RpcError::Unsupported { .. }) => Err(unfit),
        outcome => outcome,
    }
}

/// Runs `future` until the call's deadline; none if that comes first.
pub(super) async fn within<F: Future>(
    node: &NodeShared,
    call: &Call,
    future: F,
) -> Option<F::Output> {
    let left = call.deadline.saturating_duration_since(node.env().now());
    tokio::time::timeout(left, future).await.ok()
}
