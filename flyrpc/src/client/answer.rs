//! What came back for a call, as the caller's value or error.

use std::sync::Arc;

use super::call::Call;
use crate::{
    BodyError, NodeInfo, Refusal, RpcError, Unsupported,
    hub::Hub,
    link::Answer,
    server::guarded,
    service::Request,
    wire::fault::{Fault, UnknownFault},
};

/// Reads the answer to a call of method number `method`.
pub(super) fn read<R: Request>(
    node: &Hub,
    call: &Call,
    method: usize,
    info: &NodeInfo,
    answer: Answer,
) -> Result<R::Response, RpcError> {
    let Call { service, method: name, .. } = *call;
    match answer {
        Answer::Reply(body) => {
            let decode = R::methods()[method].decode_reply;
            guarded("decoding", || decode(&body)).map_err(|source| RpcError::BadReply {
                node: Some(info.clone()),
                service,
                method: name,
                source,
            })
        }
        Answer::TooLarge(size) => Err(too_large(call, info, size, node.max_body() as u64)),
        Answer::Fault(fault) => Err(match Fault::decode(&fault) {
            Ok(fault) => failed(node, call, info, fault),
            Err(UnknownFault { executed: true }) => RpcError::BadReply {
                node: Some(info.clone()),
                service,
                method: name,
                source: BodyError::new("", "an error that this version does not know"),
            },
            Err(UnknownFault { executed: false }) => unsupported(info, call, Unsupported::Protocol),
        }),
    }
}

/// The caller's error for what went wrong at the serving node.
pub(super) fn failed(us: &Hub, call: &Call, info: &NodeInfo, fault: Fault) -> RpcError {
    let Call { service, method, .. } = *call;
    let node = info.clone();
    let refused = |reason| RpcError::Refused { node: info.clone(), service, method, reason };
    match fault {
        Fault::NotPrimary { theirs } => RpcError::NotPrimary {
            node,
            service,
            method,
            theirs,
            ours: us.primary_region().clone(),
        },
        Fault::Draining => refused(Refusal::Draining),
        Fault::Overloaded => refused(Refusal::Overloaded),
        Fault::Held => refused(Refusal::Held),
        Fault::NoMethod => unsupported(info, call, Unsupported::Method),
        Fault::BadArguments { path, message } => {
            let detail = BodyError::new(path, message).to_string();
            unsupported(info, call, Unsupported::Arguments(detail))
        }
        Fault::ArgumentsTooLarge { size, limit } => {
            RpcError::ArgumentsTooLarge { service, method, size: clamp(size), limit: clamp(limit) }
        }
        Fault::Expired => timeout(call, Some(node), false),
        Fault::TimedOut => timeout(call, Some(node), true),
        Fault::Panicked { message } => RpcError::Panicked { node, service, method, message },
        Fault::ReplyTooLarge { size, limit } => too_large(call, info, size, limit),
        Fault::BadReply { path, message } => RpcError::BadReply {
            node: Some(node),
            service,
            method,
            source: BodyError::new(path, message),
        },
    }
}

fn too_large(call: &Call, info: &NodeInfo, size: u64, limit: u64) -> RpcError {
    let Call { service, method, .. } = *call;
    let (size, limit) = (clamp(size), clamp(limit));
    RpcError::ReplyTooLarge { node: info.clone(), service, method, size, limit }
}

pub(super) fn timeout(call: &Call, node: Option<NodeInfo>, sent: bool) -> RpcError {
    let Call { service, method, after, .. } = *call;
    RpcError::Timeout { after, node, service, method, sent }
}

pub(super) fn disconnected(
    call: &Call,
    info: &NodeInfo,
    error: impl std::error::Error + Send + Sync + 'static,
    sent: bool,
) -> RpcError {
    let Call { service, method, .. } = *call;
    RpcError::Disconnected {
        node: Some(info.clone()),
        service,
        method,
        sent,
        source: Arc::new(error),
    }
}

pub(super) fn unsupported(node: &NodeInfo, call: &Call, why: Unsupported) -> RpcError {
    let Call { service, method, .. } = *call;
    RpcError::Unsupported { node: node.clone(), service, method, why }
}

fn clamp(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
