//! Decodes a response into the caller's value or a failure.

use crate::{
    error::{BodyError, Refusal, Unsupported},
    proto::{
        routing::{AttemptFailure, LimitOf},
        wire::status::{Status, UnknownStatus},
    },
    runtime::{link::Response, server::catch_panic, shared::NodeShared},
    service::Request,
    types::Region,
};

/// Decodes the response to a call of the method at position `method` of its trait.
#[inline(always)]
pub(super) fn decode<R: Request>(
    node: &NodeShared,
    method: usize,
    response: Response,
) -> Result<R::Response, AttemptFailure> {
    match response {
        Response::Reply(body) => {
            let decode = R::methods()[method].decode_response;
            let bad_reply = |source| AttemptFailure::BadReply { encoded: true, source };
            catch_panic("decoding", || decode(&body)).map_err(bad_reply)
        }
        Response::TooLarge(size) => {
            Err(AttemptFailure::ReplyTooLarge { size, limit: node.max_body() as u64 })
        }
        Response::Status(status) => Err(decode_status(node, &status)),
    }
}

/// Returns the size of a reply in bytes, or `None` if there is no reply.
pub(super) fn size(response: &Response) -> Option<usize> {
    match response {
        Response::Reply(body) => Some(body.len()),
        Response::TooLarge(_) | Response::Status(_) => None,
    }
}

fn decode_status(node: &NodeShared, status: &[u8]) -> AttemptFailure {
    match Status::decode(status) {
        Ok(status) => status_failure(node.primary_region(), status),
        Err(UnknownStatus { executed, message }) => AttemptFailure::Failed { message, executed },
    }
}

/// Translates a status from the serving node into a failure of the call on this node, whose primary region is `ours`.
pub(crate) fn status_failure(ours: &Region, status: Status) -> AttemptFailure {
    match status {
        Status::NotPrimary { theirs } => AttemptFailure::NotPrimary { theirs, ours: ours.clone() },
        Status::Draining => AttemptFailure::Refused(Refusal::Draining),
        Status::Overloaded | Status::MethodOverloaded => {
            AttemptFailure::Refused(Refusal::Overloaded)
        }
        Status::Memory => AttemptFailure::Refused(Refusal::Memory),
        Status::Held => AttemptFailure::Refused(Refusal::Held),
        Status::Denied { message } => AttemptFailure::Denied { why: message },
        Status::NoMethod => AttemptFailure::Unsupported(Unsupported::Method),
        Status::BadArguments { path, message } => {
            let detail = BodyError::new(path, message).to_string();
            AttemptFailure::Unsupported(Unsupported::Arguments(detail))
        }
        Status::ArgumentsTooLarge { size, limit } => {
            AttemptFailure::ArgumentsTooLarge { size, limit, limit_of: LimitOf::Peer }
        }
        Status::Expired => AttemptFailure::Timeout { sent: false },
        Status::TimedOut => AttemptFailure::Timeout { sent: true },
        Status::Panicked { message } => AttemptFailure::Panicked { message },
        Status::ReplyTooLarge { size, limit } => AttemptFailure::ReplyTooLarge { size, limit },
        Status::BadReply { path, message } => {
            AttemptFailure::BadReply { encoded: false, source: BodyError::new(path, message) }
        }
    }
}
