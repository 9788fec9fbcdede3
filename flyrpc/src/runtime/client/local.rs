//! Calls that run in this process. They use no socket, and they use a separate task only if the method
//! is detached. They are encoded only if this node serves another version of the trait, or is configured
//! to encode local calls. Deadlines, panics, contexts and errors are handled as in a call to another
//! node.

use std::{future::Future, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::{sync::oneshot, time::timeout};

use super::{
    arguments::{BodyLimit, encode},
    call::{Call, CallStart},
    record::AttemptRecorder,
    response::{decode, status_failure},
};
use crate::{
    codec::EncodedBody,
    error::Unsupported,
    proto::routing::AttemptFailure,
    runtime::{
        context::Context,
        link::{LinkError, Reply, Response},
        server::{Ended, HandlerFuture, RequestFuture, Until},
        shared::NodeShared,
    },
    service::{INTERNAL_SERVICE, LocalHandler, Request, Service, caller_trait},
    types::{MethodSpec, ServiceSpec, Target, TargetRef},
};

/// The implementation that serves a call in this process.
pub(super) enum LocalMethod<'a, R: Request> {
    /// An implementation of the client's own trait.
    Typed(&'a Arc<dyn LocalHandler<R>>),
    /// An implementation of another version of the trait, or one to be called as if it were.
    /// Methods and arguments are matched by name, as between nodes.
    Encoded(EncodedMethod<'a>),
}

/// A method whose arguments and reply are encoded.
pub(super) struct EncodedMethod<'a> {
    service: &'a Arc<dyn Service>,
    spec: &'a ServiceSpec,
    method: usize,
}

/// Returns this process's implementation of the method that `request` calls, if there is one.
pub(super) fn find<'a, R: Request>(
    node: &'a NodeShared,
    request: &R,
) -> Option<LocalMethod<'a, R>> {
    let (service, spec, local) = node.server().service(R::SERVICE)?;
    let encoded = node.encodes_local_calls() && R::SERVICE != INTERNAL_SERVICE;
    if let Some(handler) = local.downcast_ref().filter(|_| !encoded) {
        return Some(LocalMethod::Typed(handler));
    }
    let name = R::methods()[request.method()].name;
    let method = spec.methods.iter().position(|served| served.name == name)?;
    Some(LocalMethod::Encoded(EncodedMethod { service, spec, method }))
}

/// Returns why this node does not serve a call whose target includes it. Returns `None` if this
/// node does not have the service and is not itself the target: then it is only a client of the
/// service, not a candidate.
pub(super) fn why_not_here(node: &NodeShared, call: &Call) -> Option<Unsupported> {
    match (node.server().service(call.service), &call.target) {
        (Some(_), _) => Some(Unsupported::Method),
        (None, Target::Node(_)) => Some(Unsupported::Service),
        (None, _) => None,
    }
}

/// Returns whether the handler of a call to this node runs in the caller's task.
pub(super) fn runs_inline<R: Request>(
    node: &NodeShared,
    target: TargetRef<'_>,
    start: &CallStart,
    method: usize,
) -> bool {
    let options = &R::methods()[method].options;
    let primary_only = options.primary || target.is_primary();
    may_run(node, primary_only) && !options.detached && !start.is_deep()
}

/// Returns the future of the handler of a call that [runs inline](runs_inline).
pub(super) fn start_inline<R: Request>(
    node: &NodeShared,
    start: &CallStart,
    handler: &Arc<dyn LocalHandler<R>>,
    request: R,
) -> HandlerFuture<BoxFuture<'static, R::Response>> {
    HandlerFuture::of_new_call(handler.call(request), context(node, start, false))
}

/// Runs the call on this node.
pub(super) async fn call<R: Request>(
    node: &NodeShared,
    call: &Call,
    handler: &Arc<dyn LocalHandler<R>>,
    request: R,
    recorder: &AttemptRecorder<'_>,
) -> Result<R::Response, AttemptFailure> {
    let options = R::methods()[request.method()].options;
    let context = admit(node, call, options.primary, options.detached, recorder)?;
    recorder.start(node.me(), None);
    if options.detached {
        let handler = HandlerFuture::new(handler.call(request), context, Until::Completion);
        return value(Box::pin(detach(node, call, handler)).await?);
    }
    let handler = HandlerFuture::of_new_call(handler.call(request), context);
    if call.start.is_deep() {
        return value(Box::pin(run_in_task(node, handler)).await?);
    }
    value(handler.await)
}

/// Runs the call on this node, encoded and decoded as between nodes. A call that fails with
/// [`Unsupported`](AttemptFailure::Unsupported) was not executed.
pub(super) async fn call_encoded<R: Request>(
    node: &NodeShared,
    call: &Call,
    EncodedMethod { service, spec, method }: EncodedMethod<'_>,
    request: &R,
    recorder: &AttemptRecorder<'_>,
) -> Result<R::Response, AttemptFailure> {
    let MethodSpec { primary, detached, .. } = spec.methods[method];
    let primary = primary || R::methods()[request.method()].options.primary;
    let context = admit(node, call, primary, detached, recorder)?;
    let mut body = EncodedBody::new();
    let compats = caller_trait::<R>().compare(std::slice::from_ref(spec));
    let limit = node.max_body();
    encode(request, &compats, BodyLimit::of_caller(limit), &mut body)?;
    let attempt = recorder.start(node.me(), Some(body.len()));
    let future =
        RequestFuture::new(&**service, method, Until::of(detached), &body.into_bytes(), context);
    let response = if detached {
        detach(node, call, future).await?
    } else if call.start.is_deep() {
        run_in_task(node, future).await?
    } else {
        future.await
    };
    match response {
        Ok(Reply { body, .. }) if body.len() > limit => {
            let (size, limit) = (body.len() as u64, limit as u64);
            Err(AttemptFailure::ReplyTooLarge { size, limit })
        }
        Ok(Reply { body, .. }) => {
            recorder.reply(attempt, body.len());
            decode::<R>(node, request.method(), Response::Reply(body.into_bytes()))
        }
        Err(status) => Err(status_failure(node, status)),
    }
}

/// Returns the context of a call that runs on this node. Fails if the call or its method needs a
/// primary node and this node is not primary.
fn admit(
    node: &NodeShared,
    call: &Call,
    primary_only: bool,
    detached: bool,
    recorder: &AttemptRecorder<'_>,
) -> Result<Context, AttemptFailure> {
    if !may_run(node, call.primary || primary_only) {
        recorder.start(node.me(), None);
        let region = || node.primary_region().clone();
        return Err(AttemptFailure::NotPrimary { theirs: region(), ours: region() });
    }
    Ok(context(node, &call.start, detached))
}

/// Returns whether this node may run a call that is `primary_only` or not.
fn may_run(node: &NodeShared, primary_only: bool) -> bool {
    !primary_only || node.is_primary()
}

fn context(node: &NodeShared, start: &CallStart, detached: bool) -> Context {
    Context {
        caller: node.me().clone(),
        deadline: start.deadline(),
        attempt: 1,
        local: true,
        detached,
        depth: if detached || start.is_deep() { 0 } else { start.depth },
        host: Arc::clone(node.server().host()),
    }
}

pub(super) fn value<T>(ended: Ended<T>) -> Result<T, AttemptFailure> {
    match ended {
        Ended::Value(value) => Ok(value),
        Ended::Panicked(message) => Err(AttemptFailure::Panicked { message }),
        Ended::Expired => Err(AttemptFailure::Timeout { sent: false }),
        Ended::TimedOut => Err(AttemptFailure::Timeout { sent: true }),
    }
}

/// Runs `future` in its own task, so that it has a stack of its own. Dropping this future drops `future`.
async fn run_in_task<T: Send + 'static>(
    node: &NodeShared,
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, AttemptFailure> {
    let (mut done, result) = oneshot::channel();
    node.env().spawn(Box::pin(async move {
        tokio::select! {
            biased;
            () = done.closed() => {}
            value = future => {
                // An error means that the caller gave up in the meantime.
                let _ = done.send(value);
            }
        }
    }));
    result.await.map_err(|_dropped| dropped())
}

/// Returns the failure of a call whose task was dropped, with its runtime or in a simulated crash.
fn dropped() -> AttemptFailure {
    AttemptFailure::Disconnected { sent: true, source: Arc::new(LinkError::ShutDown) }
}

/// Runs `future` in its own task, so that it continues after its caller is gone. Fails if the task
/// has not ended by the call's deadline, or was dropped.
async fn detach<T: Send + 'static>(
    node: &NodeShared,
    call: &Call,
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, AttemptFailure> {
    let (done, result) = oneshot::channel();
    let guard = node.server().in_flight_guard();
    node.env().spawn(Box::pin(async move {
        if done.is_closed() {
            // The caller gave up before the handler started.
            return;
        }
        // An error means that the caller no longer waits, which does not affect a detached call.
        let _ = done.send(future.await);
        drop(guard);
    }));
    match timeout(call.remaining(node.env().now()), result).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_dropped)) => Err(dropped()),
        Err(_elapsed) => Err(AttemptFailure::Timeout { sent: true }),
    }
}
