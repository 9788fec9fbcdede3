//! What came back for a call, as the caller's value or error.

use std::sync::Arc;

use super::call::Call;
use crate::{
    error::{BodyError, Refusal, RpcError, Unsupported},
    proto::wire::status::{Status, UnknownStatus},
    runtime::{link::Response, server::catch_panic, shared::NodeShared},
    service::Request,
    types::NodeInfo,
};

/// Reads the answer to a call of method number `method`.
pub(super) fn read<R: Request>(
    node: &NodeShared,
    call: &Call,
    method: usize,
    info: &NodeInfo,
    answer: Response,
) -> Result<R::Response, RpcError> {
    let Call { service, method: name, .. } = *call;
    match answer {
        Response::Reply(body) => {
            let decode = R::methods()[method].decode_reply;
            catch_panic("decoding", || decode(&body)).map_err(|source| RpcError::BadReply {
                node: Some(info.clone()),
                service,
                method: name,
                source,
            })
        }
        Response::TooLarge(size) => Err(too_large(call, info, size, node.max_body() as u64)),
        Response::Status(status) => Err(match Status::decode(&status) {
            Ok(status) => failed(node, call, info, status),
            Err(UnknownStatus { executed: true }) => RpcError::BadReply {
                node: Some(info.clone()),
                service,
                method: name,
                source: BodyError::new("", "an error that this version does not know"),
            },
            Err(UnknownStatus { executed: false }) => {
                unsupported(info, call, Unsupported::Protocol)
            }
        }),
    }
}

/// The caller's error for what went wrong at the serving node.
pub(super) fn failed(us: &NodeShared, call: &Call, info: &NodeInfo, status: Status) -> RpcError {
    let Call { service, method, .. } = *call;
    let node = info.clone();
    let refused = |reason| RpcError::Refused { node: info.clone(), service, method, reason };
    match status {
        Status::NotPrimary { theirs } => RpcError::NotPrimary {
            node,
            service,
            method,
            theirs,
            ours: us.primary_region().clone(),
        },
        Status::Draining => refused(Refusal::Draining),
        Status::Overloaded => refused(Refusal::Overloaded),
        Status::Held => refused(Refusal::Held),
        Status::NoMethod => unsupported(info, call, Unsupported::Method),
        Status::BadArguments { path, message } => {
            let detail = BodyError::new(path, message).to_string();
            unsupported(info, call, Unsupported::Arguments(detail))
        }
        Status::ArgumentsTooLarge { size, limit } => {
            RpcError::ArgumentsTooLarge { service, method, size: clamp(size), limit: clamp(limit) }
        }
        Status::Expired => timeout(call, Some(node), false),
        Status::TimedOut => timeout(call, Some(node), true),
        Status::Panicked { message } => RpcError::Panicked { node, service, method, message },
        Status::ReplyTooLarge { size, limit } => too_large(call, info, size, limit),
        Status::BadReply { path, message } => RpcError::BadReply {
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
