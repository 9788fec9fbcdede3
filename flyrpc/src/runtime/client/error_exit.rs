//! The only place that builds an [`RpcError`] for a call through a node. Calls through tarpc stubs
//! have no node and no target; `runtime/tarpc.rs` builds their errors.

use std::sync::Arc;

use super::call::Call;
use crate::{
    error::{BodyError, Refusal, RpcError},
    proto::routing::{AttemptFailure, CallFailure, Endpoint as _, Entry, LimitOf, LinkStatus},
    runtime::{link::Link, shared::NodeShared},
    service::Request,
    telemetry::CallStatus,
    types::{NodeInfo, Region, Target},
};

/// Returns the error that the user receives for a failed call, and counts the call.
#[cold]
pub(super) fn rpc_error(node: &NodeShared, call: &Call, failure: CallFailure) -> RpcError {
    let error = error_of(node, call, failure);
    node.count_call(call.service, CallStatus::Failed(error.kind()));
    error
}

fn error_of(node: &NodeShared, call: &Call, failure: CallFailure) -> RpcError {
    let Call { service, method, .. } = *call;
    match failure {
        CallFailure::At { node, failure } => attempt_error(call, node, failure),
        CallFailure::NoNode(known) => {
            if let Some((node, reason)) = refusing_node(node, call) {
                return RpcError::Refused { node, service, method, reason };
            }
            let (target, live_regions) = (call.target.clone(), live_regions(node, &call.target));
            RpcError::NoNode { target, service, method, known, live_regions }
        }
        CallFailure::Timeout { sent } => {
            RpcError::Timeout { after: call.start.allowed(), node: None, service, method, sent }
        }
        CallFailure::ShutDown => RpcError::ShutDown { service, method },
    }
}

/// Returns a node that one of the calls on many nodes was for, and why it accepts no calls, if that is so.
fn refusing_node(node: &NodeShared, call: &Call) -> Option<(NodeInfo, Refusal)> {
    let table = node.table();
    let refusing = |entry: &Arc<Entry<Arc<Link>>>| match entry.link.as_ref()?.status(call.service) {
        LinkStatus::NotAccepting(reason) => Some((entry.info.clone(), reason)),
        LinkStatus::Good | LinkStatus::Quiet | LinkStatus::Disconnected => None,
    };
    match (&call.each, &call.target) {
        (Some(_), Target::Node(id)) => refusing(table.node(id)?),
        (Some(_), Target::Region(region)) => table.region(region).iter().find_map(refusing),
        _ => None,
    }
}

/// Returns the regions that have live nodes, if the target of a call is a region.
fn live_regions(node: &NodeShared, target: &Target) -> Arc<[Region]> {
    if !matches!(target, Target::Region(_) | Target::Primary(_)) {
        return Arc::default();
    }
    let mut regions = node.table().live_regions();
    if !node.me().region().is_empty() && !regions.contains(node.me().region()) {
        regions.push(node.me().region().clone());
        regions.sort();
    }
    regions.into()
}

/// Returns the error of a call through a node that no longer exists.
#[cold]
pub(super) fn shut_down<R: Request>(request: &R) -> RpcError {
    RpcError::ShutDown { service: R::SERVICE, method: R::methods()[request.method()].name }
}

/// Returns the error of a call whose response belongs to another method. Only a faulty stub returns
/// such a response.
pub fn wrong_response<T>(service: &'static str, method: &'static str) -> Result<T, RpcError> {
    Err(RpcError::BadReply {
        node: None,
        service,
        method,
        encoded: true,
        source: BodyError::new("", "the reply belongs to another method"),
    })
}

/// Returns the error of an attempt on `node`.
#[cold]
pub(super) fn attempt_error(call: &Call, node: NodeInfo, failure: AttemptFailure) -> RpcError {
    let Call { service, method, .. } = *call;
    match failure {
        AttemptFailure::Unsupported(why) => RpcError::Unsupported { node, service, method, why },
        AttemptFailure::NotPrimary { theirs, ours } => {
            RpcError::NotPrimary { node, service, method, theirs, ours }
        }
        AttemptFailure::Refused(reason) => RpcError::Refused { node, service, method, reason },
        AttemptFailure::Denied { why } => RpcError::Denied { node, service, method, why },
        AttemptFailure::Failed { message, executed } => {
            RpcError::Failed { node, service, method, message, executed }
        }
        AttemptFailure::Timeout { sent } => RpcError::Timeout {
            after: call.start.allowed(),
            node: Some(node),
            service,
            method,
            sent,
        },
        AttemptFailure::Disconnected { sent, source } => {
            RpcError::Disconnected { node: Some(node), service, method, sent, source }
        }
        AttemptFailure::Panicked { message } => {
            RpcError::Panicked { node, service, method, message }
        }
        AttemptFailure::Encode(source) => RpcError::Encode { service, method, source },
        AttemptFailure::ArgumentsTooLarge { size, limit, limit_of } => {
            let (size, limit) = (clamp(size), clamp(limit));
            let node = (limit_of == LimitOf::Peer).then_some(node);
            RpcError::ArgumentsTooLarge { node, service, method, size, limit }
        }
        AttemptFailure::ReplyTooLarge { size, limit } => {
            let (size, limit) = (clamp(size), clamp(limit));
            RpcError::ReplyTooLarge { node, service, method, size, limit }
        }
        AttemptFailure::BadReply { encoded, source } => {
            RpcError::BadReply { node: Some(node), service, method, encoded, source }
        }
    }
}

fn clamp(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
