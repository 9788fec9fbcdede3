//! Calls that run in this process: no encoding, no task, no socket. Deadline, panics, context and
//! errors are those of a call to another node.

use std::{any::Any, sync::Arc};

use tokio::sync::oneshot;

use super::call::Call;
use crate::{
    NodeInfo, RpcError, Unsupported,
    context::Context,
    hub::Hub,
    routing::Fit,
    server::{Ended, Running},
    service::{LocalHandler, Method, Request},
    wire::body::{ArgsWriter, ArgumentError, Listed},
};

/// Whether this node serves the method that `request` calls.
pub(super) fn serves<R: Request>(node: &Hub, request: &R) -> bool {
    let Some((_, spec, local)) = node.server().service(R::SERVICE) else { return false };
    is_own_type::<R>(local) || {
        let method = R::methods()[request.method()].name;
        spec.methods.iter().any(|served| served.name == method)
    }
}

fn is_own_type<R: Request>(local: &(dyn Any + Send + Sync)) -> bool {
    local.is::<Arc<dyn LocalHandler<R>>>()
}

/// Runs the call here.
pub(super) async fn call<R: Request>(
    node: &Hub,
    call: &Call,
    request: R,
) -> Result<R::Response, RpcError> {
    let method = &R::methods()[request.method()];
    let (service, spec, local) = node.server().service(R::SERVICE).expect("asked before");
    if (call.primary || method.options.primary) && !node.is_primary() {
        return Err(RpcError::NotPrimary {
            node: node.me().clone(),
            service: call.service,
            method: call.method,
            theirs: node.primary_region().clone(),
            ours: node.primary_region().clone(),
        });
    }
    let context = Context {
        caller: node.me().clone(),
        deadline: call.deadline,
        attempt: 1,
        local: true,
        env: Arc::clone(node.env()),
    };
    if let Some(handler) = local.downcast_ref::<Arc<dyn LocalHandler<R>>>() {
        let running = handler.call(request);
        return run(node, call, method.options.detached, running, context).await;
    }
    // Another version of the trait is served here: as between nodes, names decide.
    let served = spec.methods.iter().position(|served| served.name == method.name);
    let served = served.expect("asked before");
    let mut body = Vec::new();
    encode(node.me(), call, &request, &Fit::all::<R>(std::slice::from_ref(spec)), &mut body)?;
    let detached = spec.methods[served].detached;
    let running = service
        .start(served, &body)
        .map_err(|error| unsupported(node.me(), call, Unsupported::Arguments(error.to_string())))?;
    let bad_reply = |source| RpcError::BadReply {
        node: Some(node.me().clone()),
        service: call.service,
        method: call.method,
        source,
    };
    let reply = run(node, call, detached, running, context).await?.map_err(bad_reply)?;
    (method.decode_reply)(&reply).map_err(bad_reply)
}

async fn run<T: Send + 'static>(
    node: &Hub,
    call: &Call,
    detached: bool,
    handler: futures_util::future::BoxFuture<'static, T>,
    context: Context,
) -> Result<T, RpcError> {
    let ended = if detached {
        detach(node, call, handler, context).await
    } else {
        Running::until_deadline(handler, context).await
    };
    let Call { service, method, after, .. } = *call;
    let me = node.me().clone();
    match ended {
        Ended::Value(value) => Ok(value),
        Ended::Panicked(message) => Err(RpcError::Panicked { node: me, service, method, message }),
        Ended::Expired => {
            Err(RpcError::Timeout { after, node: Some(me), service, method, sent: false })
        }
        Ended::TimedOut => {
            Err(RpcError::Timeout { after, node: Some(me), service, method, sent: true })
        }
    }
}

/// Runs a handler in a task of its own, so that it goes on when nobody waits for it any more.
async fn detach<T: Send + 'static>(
    node: &Hub,
    call: &Call,
    handler: futures_util::future::BoxFuture<'static, T>,
    context: Context,
) -> Ended<T> {
    let remaining = context.remaining();
    let (done, result) = oneshot::channel();
    let busy = node.server().busy();
    node.env().spawn(Box::pin(async move {
        // Whether anybody still waits does not matter to a detached call.
        let _ = done.send(Running::to_end(handler, context).await);
        drop(busy);
    }));
    match tokio::time::timeout(remaining, result).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(_)) => Ended::Panicked(format!("the task of {} was dropped", call.method)),
        Err(_) => Ended::TimedOut,
    }
}

/// Encodes the arguments of `request` for a node whose version of the service fits as `fits` says.
pub(super) fn encode<R: Request>(
    node: &NodeInfo,
    call: &Call,
    request: &R,
    fits: &[Fit],
    to: &mut Vec<u8>,
) -> Result<u64, RpcError> {
    let place = request.method();
    let (number, unlisted) = match &fits[place] {
        Fit::Yes { number, unlisted } => (*number, unlisted),
        Fit::No(why) => return Err(unsupported(node, call, why.clone())),
    };
    let listed = |name: &str| !unlisted.contains(&name);
    let listed = if unlisted.is_empty() { Listed::All } else { Listed::Only(&listed) };
    let Method { arguments, .. } = R::methods()[place];
    let mut writer = ArgsWriter::new(to, arguments.len(), listed);
    match request.encode(&mut writer) {
        Ok(()) => {
            writer.finish();
            Ok(number)
        }
        Err(ArgumentError::Encode(source)) => {
            Err(RpcError::Encode { service: call.service, method: call.method, source })
        }
        Err(ArgumentError::NotListed(name)) => {
            let detail = format!("it does not take `{name}`, which has a value in this call");
            Err(unsupported(node, call, Unsupported::Arguments(detail)))
        }
    }
}

pub(super) fn unsupported(node: &NodeInfo, call: &Call, why: Unsupported) -> RpcError {
    let Call { service, method, .. } = *call;
    RpcError::Unsupported { node: node.clone(), service, method, why }
}
