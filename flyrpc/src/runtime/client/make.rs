//! Makes the calls that [`CallFuture`](super::future::CallFuture) does not complete by itself.

use super::{
    call::{Call, CallStart},
    error_exit::rpc_error,
    local::{self, LocalMethod},
    outside::{runtime_to_enter, within},
    record::AttemptRecorder,
    remote::{self, Begun},
    remote_call::RemoteCall,
};
use crate::{
    error::RpcError,
    proto::routing::{AttemptFailure, CallFailure},
    runtime::shared::{NodeInUse, NodeShared},
    service::{IsErr, Request},
    telemetry::{CallSpan, CallStatus},
};

/// Makes a call with this span, or continues it after its first attempt on another node has `begun`. Dropping the
/// future cancels the call.
pub(super) async fn call<R: Request>(
    node: NodeInUse,
    call: Call,
    request: R,
    begun: Option<Begun>,
    span: Option<Box<CallSpan>>,
) -> Result<R::Response, RpcError> {
    let node: &NodeShared = &node;
    let reported = begun.as_ref().and_then(|begun| begun.reported.clone());
    let recorder = AttemptRecorder::new(node, &call, reported, span);
    let mut count = CountCanceled { node, service: R::SERVICE, is_over: false };
    let of = RemoteCall { node, call: &call, request: &request, recorder: &recorder, target: 0 };
    let outcome = if let Some(begun) = begun {
        remote::resume(of, begun).await
    } else if let Err(failure) = check(node, &call.start) {
        Err(failure)
    } else {
        let here = if call.target.borrowed().includes(node.me()) {
            local::find(node, &request)
        } else {
            None
        };
        let runtime = runtime_to_enter(node);
        let permit = match here {
            Some(LocalMethod::Typed(_)) => local::permit(node, &call, &request),
            _ => None,
        };
        match (here, permit) {
            (Some(LocalMethod::Typed(handler)), Some(permit)) => {
                let request = (request, permit);
                let local = Box::pin(local::call(node, &call, handler, request, &recorder));
                within(runtime, local).await.map_err(|failure| failed_here(node, failure))
            }
            (Some(_), _) => within(runtime, Box::pin(remote::call_from_here(of))).await,
            (None, _) => within(runtime, Box::pin(remote::call(of))).await,
        }
    };
    let outcome = outcome.map_err(|failure| rpc_error(node, &call, failure));
    count.is_over = true;
    if outcome.is_ok() {
        node.count_call(R::SERVICE, CallStatus::Ok);
    }
    recorder.finish(outcome.as_ref().map(IsErr::of::<R>));
    outcome
}

/// Counts a call that is dropped as canceled.
struct CountCanceled<'a> {
    node: &'a NodeShared,
    service: &'static str,
    is_over: bool,
}

impl Drop for CountCanceled<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.node.count_call(self.service, CallStatus::Cancelled);
        }
    }
}

/// Fails if the node is shut down or the call's timeout is zero.
pub(super) fn check(node: &NodeShared, start: &CallStart) -> Result<(), CallFailure> {
    if node.is_shut_down() {
        Err(CallFailure::ShutDown)
    } else if start.timeout.is_zero() {
        Err(CallFailure::Timeout { sent: false })
    } else {
        Ok(())
    }
}

pub(super) fn failed_here(node: &NodeShared, failure: AttemptFailure) -> CallFailure {
    CallFailure::At { node: node.me().clone(), failure }
}
