//! Calls that run in this process: no task, no socket, and no encoding unless the trait is another
//! version or the node was told to. Deadline, panics, context and errors are those of a call to
//! another node.

use std::{future::Future, sync::Arc};

use tokio::sync::oneshot;

use super::{
    arguments::encode,
    call::{Call, within},
    record::AttemptRecorder,
    response::{disconnected, failed, read, timeout, unsupported},
};
use crate::{
    error::{RpcError, Unsupported},
    proto::{routing::Compat, wire::status::Status},
    runtime::{
        context::Context,
        link::{LinkError, Response},
        server::{Ended, Execution, HandlerFuture},
        shared::NodeShared,
    },
    service::{INTERNAL_SERVICE, LocalHandler, Request, Service, signatures},
    types::{MethodSpec, ServiceSpec, Target},
};

/// What serves a call in this process.
pub(super) enum Here<'a, R: Request> {
    /// An implementation of the client's own trait.
    Typed(&'a Arc<dyn LocalHandler<R>>),
    /// An implementation of another version of it, or one that is to be called as if it were: as
    /// between nodes, names decide.
    Encoded(Encoded<'a>),
}

/// A method whose arguments and reply are encoded.
pub(super) struct Encoded<'a> {
    service: &'a Arc<dyn Service>,
    spec: &'a ServiceSpec,
    method: usize,
}

/// What serves the method that `request` calls in this process, if anything does.
pub(super) fn find<'a, R: Request>(node: &'a NodeShared, request: &R) -> Option<Here<'a, R>> {
    let (service, spec, local) = node.server().service(R::SERVICE)?;
    let encoded = node.encodes_local_calls() && R::SERVICE != INTERNAL_SERVICE;
    if let Some(handler) = local.downcast_ref().filter(|_| !encoded) {
        return Some(Here::Typed(handler));
    }
    let name = R::methods()[request.method()].name;
    let method = spec.methods.iter().position(|served| served.name == name)?;
    Some(Here::Encoded(Encoded { service, spec, method }))
}

/// Why this node cannot take a call that is aimed at it and that it serves no method for. Nothing if
/// it does not have the service and the call is not aimed at this very node: then it is a client of
/// the service, and no candidate.
pub(super) fn lacks<R: Request>(node: &NodeShared, call: &Call) -> Option<RpcError> {
    let why = match (node.server().service(R::SERVICE), &call.target) {
        (Some(_), _) => Unsupported::Method,
        (None, Target::Node(_)) => Unsupported::Service,
        (None, _) => return None,
    };
    Some(unsupported(node.me(), call, why))
}

/// Runs the call here.
pub(super) async fn call<R: Request>(
    node: &NodeShared,
    call: &Call,
    handler: &Arc<dyn LocalHandler<R>>,
    request: R,
    watch: &mut AttemptRecorder<'_>,
) -> Result<R::Response, RpcError> {
    let options = R::methods()[request.method()].options;
    let context = admit(node, call, options.primary, watch)?;
    watch.start(node.me(), None);
    let value = if options.detached {
        let running = HandlerFuture::to_end(handler.call(request), context);
        value(Box::pin(detach(node, call, running)).await?)
    } else {
        value(HandlerFuture::begun(handler.call(request), context).await)
    };
    value.map_err(|status| failed(node, call, node.me(), status))
}

/// Runs the call here, encoded and decoded as between nodes. One that is
/// [`Unsupported`](RpcError::Unsupported) was not executed.
pub(super) async fn call_encoded<R: Request>(
    node: &NodeShared,
    call: &Call,
    Encoded { service, spec, method }: Encoded<'_>,
    request: &R,
    watch: &mut AttemptRecorder<'_>,
) -> Result<R::Response, RpcError> {
    let MethodSpec { primary, detached, .. } = spec.methods[method];
    let primary = primary || R::methods()[request.method()].options.primary;
    let context = admit(node, call, primary, watch)?;
    let mut body = Vec::new();
    let fits = Compat::all(R::SERVICE, signatures::<R>(), std::slice::from_ref(spec));
    let limit = node.max_body();
    encode(node.me(), call, request, &fits, limit, &mut body)?;
    watch.start(node.me(), Some(body.len()));
    let executing = Execution::new(&**service, method, detached, &body, context);
    let answer = if detached { detach(node, call, executing).await? } else { executing.await };
    match answer {
        Ok(reply) if reply.len() > limit => {
            let (size, limit) = (reply.len() as u64, limit as u64);
            Err(failed(node, call, node.me(), Status::ReplyTooLarge { size, limit }))
        }
        Ok(reply) => {
            watch.reply(reply.len());
            read::<R>(node, call, request.method(), node.me(), Response::Reply(reply.into()))
        }
        Err(status) => Err(failed(node, call, node.me(), status)),
    }
}

/// The context of a call that runs here; an error if only a primary node may run it, as it or its
/// method says, and this is none.
fn admit(
    node: &NodeShared,
    call: &Call,
    primary: bool,
    watch: &mut AttemptRecorder<'_>,
) -> Result<Context, RpcError> {
    if (call.primary || primary) && !node.is_primary() {
        watch.start(node.me(), None);
        let theirs = node.primary_region().clone();
        return Err(failed(node, call, node.me(), Status::NotPrimary { theirs }));
    }
    Ok(Context {
        caller: node.me().clone(),
        deadline: call.deadline,
        attempt: 1,
        local: true,
        env: Arc::clone(node.env()),
    })
}

fn value<T>(ended: Ended<T>) -> Result<T, Status> {
    match ended {
        Ended::Value(value) => Ok(value),
        Ended::Panicked(message) => Err(Status::Panicked { message }),
        Ended::Expired => Err(Status::Expired),
        Ended::TimedOut => Err(Status::TimedOut),
    }
}

/// Runs `execution` in a task of its own, so that it goes on when nobody waits for it any more.
/// An error if it has not ended by the call's deadline, or never will.
async fn detach<T: Send + 'static>(
    node: &NodeShared,
    call: &Call,
    execution: impl Future<Output = T> + Send + 'static,
) -> Result<T, RpcError> {
    let (done, result) = oneshot::channel();
    let busy = node.server().busy();
    node.env().spawn(Box::pin(async move {
        // Whether anybody still waits does not matter to a detached call.
        let _ = done.send(execution.await);
        drop(busy);
    }));
    match within(node, call, result).await {
        Some(Ok(value)) => Ok(value),
        // The task was dropped, with its runtime or in a simulated crash.
        Some(Err(_dropped)) => Err(disconnected(call, node.me(), LinkError::ShutDown, true)),
        None => Err(timeout(call, Some(node.me().clone()), true)),
    }
}
