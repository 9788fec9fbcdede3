//! Makes a call: here, or on other nodes.

use std::sync::Arc;

use super::{
    call::Call,
    error_exit::rpc_error,
    local::{self, EncodedMethod, LocalMethod},
    record::AttemptRecorder,
    remote,
    selector::CallOptions,
};
use crate::{
    error::RpcError,
    proto::routing::{AttemptFailure, CallFailure},
    runtime::{
        context::Context,
        shared::{Handle, NodeShared},
    },
    service::Request,
    types::Target,
};

/// Makes a call, within the one that `enclosing` is the context of. Dropping the future cancels it.
pub(super) async fn call<R: Request>(
    node: Arc<Handle>,
    options: CallOptions,
    request: R,
    enclosing: Option<Context>,
) -> Result<R::Response, RpcError> {
    let node: &NodeShared = &node;
    let call = {
        let enclosing = enclosing.or_else(Context::try_current);
        let left = enclosing.as_ref().map(Context::remaining);
        Call::new(&request, options, node.primary_region(), node.env().now(), left)
    };
    let mut recorder = AttemptRecorder::new(node, &call);
    if let Err(failure) = check(node, &call) {
        let error = rpc_error(&call, failure);
        recorder.finish(Some(&error));
        return Err(error);
    }
    let here = if call.includes(node.me()) { local::find(node, &request) } else { None };
    let outcome = match here {
        Some(LocalMethod::Typed(handler)) => {
            let outcome = local::call(node, &call, handler, request, &mut recorder).await;
            outcome.map_err(|failure| failed_here(node, failure))
        }
        // Boxed, because they are many times the size of a call that runs here, which would carry them.
        Some(LocalMethod::Encoded(method)) => {
            Box::pin(encoded(node, &call, method, &request, &mut recorder)).await
        }
        None => Box::pin(remote::call(node, &call, &request, &mut recorder)).await,
    };
    let outcome = outcome.map_err(|failure| rpc_error(&call, failure));
    recorder.finish(outcome.as_ref().err());
    outcome
}

/// Fails if the call cannot even be tried.
fn check(node: &NodeShared, call: &Call) -> Result<(), CallFailure> {
    if node.is_shut_down() {
        Err(CallFailure::ShutDown)
    } else if call.timeout().is_zero() {
        Err(CallFailure::Timeout { sent: false })
    } else {
        Ok(())
    }
}

fn failed_here(node: &NodeShared, failure: AttemptFailure) -> CallFailure {
    CallFailure::At { node: node.me().clone(), failure }
}

/// Makes a call of another version of the trait that this node serves. If that takes other arguments,
/// makes it on another node of the target.
async fn encoded<R: Request>(
    node: &NodeShared,
    call: &Call,
    method: EncodedMethod<'_>,
    request: &R,
    recorder: &mut AttemptRecorder<'_>,
) -> Result<R::Response, CallFailure> {
    let outcome = local::call_encoded(node, call, method, request, recorder).await;
    let incompatible = match outcome {
        Err(failure @ AttemptFailure::Unsupported(_))
            if !matches!(call.target, Target::Node(_)) =>
        {
            failure
        }
        outcome => return outcome.map_err(|failure| failed_here(node, failure)),
    };
    recorder.end(Some(&incompatible));
    match remote::call(node, call, request, recorder).await {
        // No other node can take it, so what is wrong here says most about why.
        Err(
            CallFailure::NoNode(_)
            | CallFailure::At { failure: AttemptFailure::Unsupported(_), .. },
        ) => Err(failed_here(node, incompatible)),
        outcome => outcome,
    }
}
