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
    remote_call::RemoteCall,
    response::{decode, status_failure},
    selector::CallMetadata,
};
use crate::{
    codec::EncodedBody,
    error::{Refusal, Unsupported},
    proto::routing::{AttemptFailure, FIRST_ATTEMPT},
    runtime::{
        context::Context,
        link::{LinkError, Reply, Response},
        server::{
            Ended, HandlerFuture, LocalReport, MethodPermit, RequestFuture, ServeReporter, Until,
            typed_outcome,
        },
        shared::NodeShared,
    },
    service::{INTERNAL_SERVICE, IsErr, LocalHandler, Request, Service, caller_trait},
    telemetry::ServeOutcome,
    types::{MethodSpec, ServiceSpec, Target, TargetRef},
};

/// The implementation that serves a call in this process.
pub(super) enum LocalMethod<'a, R: Request> {
    /// An implementation of the client's own trait.
    Typed(&'a Arc<dyn LocalHandler<R>>),
    /// An implementation of another version of the trait, or one to be called as if it were.
    /// Methods and arguments are matched by name, as between nodes.
    Encoded,
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
    EncodedMethod::of(service, spec, request).map(|_| LocalMethod::Encoded)
}

/// Returns the method that `request` calls, to be called as between nodes, if this process serves it.
pub(super) fn find_encoded<'a, R: Request>(
    node: &'a NodeShared,
    request: &R,
) -> Option<EncodedMethod<'a>> {
    let (service, spec, _) = node.server().service(R::SERVICE)?;
    EncodedMethod::of(service, spec, request)
}

impl<'a> EncodedMethod<'a> {
    fn of<R: Request>(
        service: &'a Arc<dyn Service>,
        spec: &'a ServiceSpec,
        request: &R,
    ) -> Option<Self> {
        let name = R::methods()[request.method()].name;
        let method = spec.methods.iter().position(|served| served.name == name)?;
        Some(EncodedMethod { service, spec, method })
    }
}

/// Returns why this node does not serve a call whose target includes it. Returns `None` if this
/// node does not have the service and is not itself the target: then it is only a client of the
/// service, not a candidate.
pub(super) fn why_not_here(
    node: &NodeShared,
    service: &str,
    target: &Target,
) -> Option<Unsupported> {
    match (node.server().service(service), target) {
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
    let in_task = options.detached || start.is_deep();
    may_run(node, primary_only) && !in_task && options.max_in_flight.is_none()
}

/// Returns the permit of a call on this node, to whose first target the node belongs. Returns `None` if the call
/// must be made like one on other nodes, because this node does not take it and another one may.
pub(super) fn permit<R: Request>(
    node: &NodeShared,
    call: &Call,
    request: &R,
) -> Option<MethodPermit> {
    if call.has_further_targets() && !may_run(node, call.is_primary_at(0)) {
        return None;
    }
    node.server().take_method_permit(R::SERVICE, request.method())
}

/// Returns the future of the handler of a call that [runs inline](runs_inline).
pub(super) fn start_inline<R: Request>(
    node: &NodeShared,
    start: &CallStart,
    metadata: Option<&CallMetadata>,
    handler: &Arc<dyn LocalHandler<R>>,
    request: R,
) -> HandlerFuture<BoxFuture<'static, R::Response>> {
    let context = context(node, start, metadata, false, FIRST_ATTEMPT);
    HandlerFuture::of_new_call(handler.call(request), context)
}

/// Runs the call on this node.
pub(super) async fn call<R: Request>(
    node: &NodeShared,
    call: &Call,
    handler: &Arc<dyn LocalHandler<R>>,
    (request, permit): (R, MethodPermit),
    recorder: &AttemptRecorder<'_>,
) -> Result<R::Response, AttemptFailure> {
    let options = R::methods()[request.method()].options;
    let primary = options.primary || call.is_primary_at(0);
    recorder.start(0, node.me(), None);
    let mut context = admit(node, call, primary, options.detached, FIRST_ATTEMPT)?;
    let report = report(node, R::SERVICE, request.method(), FIRST_ATTEMPT, recorder);
    context.span = report.as_ref().and_then(LocalReport::span);
    if options.detached {
        let handler = HandlerFuture::new(handler.call(request), context, Until::Completion);
        let handler = reported(report, handler, typed::<R>);
        return value(Box::pin(detach(node, call, handler, permit)).await?);
    }
    let handler = HandlerFuture::of_new_call(handler.call(request), context);
    let handler = reported(report, handler, typed::<R>);
    if call.start.is_deep() {
        return value(Box::pin(run_in_task(node, handler, permit)).await?);
    }
    value(handler.await)
}

/// Makes attempt `number` of the call on this node, encoded and decoded as between nodes. An attempt that fails
/// with [`Unsupported`](AttemptFailure::Unsupported) was not executed.
pub(super) async fn call_encoded<R: Request>(
    of: RemoteCall<'_, '_, R>,
    method: EncodedMethod<'_>,
    number: u32,
) -> Result<R::Response, AttemptFailure> {
    let RemoteCall { node, call, request, recorder, target } = of;
    let MethodSpec { primary, detached, .. } = method.spec.methods[method.method];
    let primary = primary || call.is_primary_at(target);
    let permit = node.server().take_method_permit(R::SERVICE, method.method);
    let permit = permit.ok_or(AttemptFailure::Refused(Refusal::Overloaded));
    let admitted =
        permit.and_then(|permit| Ok((admit(node, call, primary, detached, number)?, permit)));
    let (context, permit) = match admitted {
        Ok(admitted) => admitted,
        Err(refused) => {
            let attempt = recorder.start(target, node.me(), None);
            recorder.end(attempt, Err(&refused));
            return Err(refused);
        }
    };
    let mut body = EncodedBody::new();
    let compats = caller_trait::<R>().compare(std::slice::from_ref(method.spec));
    encode(request, &compats, BodyLimit::of_caller(node.max_body()), &mut body)?;
    let attempt = recorder.start(target, node.me(), Some(body.len()));
    let reply = run_encoded(of, method, (context, permit), body).await;
    let outcome = reply.and_then(|reply| {
        recorder.reply(attempt, reply.len());
        decode::<R>(node, request.method(), Response::Reply(reply.into_bytes()))
    });
    if outcome.is_ok() {
        recorder.set_node(node.me());
    }
    recorder.end(attempt, outcome.as_ref().map(IsErr::of::<R>));
    outcome
}

/// Runs the handler, and returns its encoded reply.
async fn run_encoded<R: Request>(
    of: RemoteCall<'_, '_, R>,
    EncodedMethod { service, spec, method }: EncodedMethod<'_>,
    (mut context, permit): (Context, MethodPermit),
    arguments: EncodedBody,
) -> Result<EncodedBody, AttemptFailure> {
    let RemoteCall { node, call, recorder, .. } = of;
    let detached = spec.methods[method].detached;
    let arguments = arguments.into_bytes();
    let report = report(node, &spec.name, method, context.attempt, recorder);
    context.span = report.as_ref().and_then(LocalReport::span);
    let future = RequestFuture::new(&**service, method, Until::of(detached), &arguments, context);
    let future = reported(report, future, ServeReporter::outcome);
    let response = if detached {
        detach(node, call, future, permit).await?
    } else if call.start.is_deep() {
        run_in_task(node, future, permit).await?
    } else {
        future.await
    };
    let limit = node.max_body();
    match response {
        Ok(Reply { body, .. }) if body.len() > limit => {
            let (size, limit) = (body.len() as u64, limit as u64);
            Err(AttemptFailure::ReplyTooLarge { size, limit })
        }
        Ok(Reply { body, .. }) => Ok(body),
        Err(status) => Err(status_failure(node.primary_region(), status)),
    }
}

fn typed<R: Request>(_: &ServeReporter, ended: &Ended<R::Response>) -> ServeOutcome {
    typed_outcome::<R>(ended)
}

/// Returns what reports the handler of attempt `attempt`, if the node has observers or spans.
fn report(
    node: &NodeShared,
    service: &str,
    method: usize,
    attempt: u32,
    recorder: &AttemptRecorder<'_>,
) -> Option<LocalReport> {
    let reporter = node.server().reporter(service, method)?;
    let parent = recorder.local_parent();
    Some(LocalReport::new(reporter, node.env(), node.me(), attempt, parent.as_ref()))
}

/// Reports the start and the end of a handler, whose value has the `outcome`.
async fn reported<T>(
    report: Option<LocalReport>,
    handler: impl Future<Output = T>,
    outcome: fn(&ServeReporter, &T) -> ServeOutcome,
) -> T {
    match report {
        Some(report) => report.run(handler, outcome).await,
        None => handler.await,
    }
}

/// Returns the context of a call that runs on this node. Fails if the call is `primary_only` and this node is
/// not primary.
fn admit(
    node: &NodeShared,
    call: &Call,
    primary_only: bool,
    detached: bool,
    attempt: u32,
) -> Result<Context, AttemptFailure> {
    if !may_run(node, primary_only) {
        let region = || node.primary_region().clone();
        return Err(AttemptFailure::NotPrimary { theirs: region(), ours: region() });
    }
    Ok(context(node, &call.start, call.metadata.as_deref(), detached, attempt))
}

/// Returns whether this node may run a call that is `primary_only` or not.
fn may_run(node: &NodeShared, primary_only: bool) -> bool {
    !primary_only || node.is_primary()
}

fn context(
    node: &NodeShared,
    start: &CallStart,
    metadata: Option<&CallMetadata>,
    detached: bool,
    attempt: u32,
) -> Context {
    Context {
        metadata: metadata.map(|metadata| Arc::clone(&metadata.metadata)),
        span: None,
        caller: node.me().clone(),
        deadline: start.deadline(),
        attempt,
        local: true,
        origin: None,
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
    permit: MethodPermit,
) -> Result<T, AttemptFailure> {
    let (mut done, result) = oneshot::channel();
    let future = async move {
        let value = future.await;
        drop(permit);
        value
    };
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
    permit: MethodPermit,
) -> Result<T, AttemptFailure> {
    let (done, result) = oneshot::channel();
    let guard = node.server().in_flight_guard();
    node.env().spawn(Box::pin(async move {
        if done.is_closed() {
            // The caller gave up before the handler started.
            return;
        }
        // An error means that the caller no longer waits, which does not affect a detached call.
        let value = future.await;
        drop((guard, permit));
        let _ = done.send(value);
    }));
    match timeout(call.remaining(node.env().now()), result).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_dropped)) => Err(dropped()),
        Err(_elapsed) => Err(AttemptFailure::Timeout { sent: true }),
    }
}
