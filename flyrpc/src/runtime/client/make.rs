//! Makes a call, on this node or on other nodes.

use super::{
    call::Call,
    error_exit::{rpc_error, shut_down},
    local::{self, EncodedMethod, LocalMethod},
    outside::{runtime_to_enter, within},
    record::AttemptRecorder,
    remote,
    selector::CallOptions,
};
use crate::{
    error::RpcError,
    proto::routing::{AttemptFailure, CallFailure},
    runtime::{
        context::Context,
        shared::{NodeRef, NodeShared},
    },
    service::Request,
    types::Target,
};

/// Makes a call. The remaining time of the `enclosing` call, if there is one, bounds the call's own
/// time. Dropping the future cancels the call.
pub(super) async fn call<R: Request>(
    node: NodeRef,
    options: CallOptions,
    request: R,
    enclosing: Option<Context>,
) -> Result<R::Response, RpcError> {
    let Some(node) = node.upgrade() else { return Err(shut_down(&request)) };
    let node: &NodeShared = &node;
    let call = {
        let enclosing = enclosing.or_else(Context::try_current);
        let now = node.env().now();
        Call::new(&request, options, node.primary_region(), now, enclosing.as_ref())
    };
    let recorder = AttemptRecorder::new(node, &call);
    if let Err(failure) = check(node, &call) {
        let error = rpc_error(node, &call, failure);
        recorder.finish(Some(&error));
        return Err(error);
    }
    let here = if call.includes(node.me()) { local::find(node, &request) } else { None };
    let runtime = runtime_to_enter(node);
    let outcome = match here {
        Some(LocalMethod::Typed(handler)) if runtime.is_none() => {
            let outcome = local::call(node, &call, handler, request, &recorder).await;
            outcome.map_err(|failure| failed_here(node, failure))
        }
        // Boxed, because these futures are rare, or many times larger than the future of a local call,
        // which would otherwise have to contain them.
        Some(LocalMethod::Typed(handler)) => {
            let local = Box::pin(local::call(node, &call, handler, request, &recorder));
            within(runtime, local).await.map_err(|failure| failed_here(node, failure))
        }
        Some(LocalMethod::Encoded(method)) => {
            let encoded = Box::pin(encoded(node, &call, method, &request, &recorder));
            within(runtime, encoded).await
        }
        None => {
            let remote = Box::pin(remote::call(node, &call, &request, &recorder));
            within(runtime, remote).await
        }
    };
    let outcome = outcome.map_err(|failure| rpc_error(node, &call, failure));
    recorder.finish(outcome.as_ref().err());
    outcome
}

/// Fails if the node is shut down or the call's timeout is zero.
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

/// Makes a call on this node, which serves another version of the trait. If that version does not
/// accept the arguments, makes the call on another node of the target.
async fn encoded<R: Request>(
    node: &NodeShared,
    call: &Call,
    method: EncodedMethod<'_>,
    request: &R,
    recorder: &AttemptRecorder<'_>,
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
    recorder.end_local(&incompatible);
    match remote::call(node, call, request, recorder).await {
        // No other node can take the call either, so the mismatch on this node explains the failure
        // best.
        Err(
            CallFailure::NoNode(_)
            | CallFailure::At { failure: AttemptFailure::Unsupported(_), .. },
        ) => Err(failed_here(node, incompatible)),
        outcome => outcome,
    }
}
