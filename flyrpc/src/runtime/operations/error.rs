//! The errors of calls whose names are known only at run time.

use crate::{
    error::{ErrorInfo, ErrorKind},
    proto::routing::AttemptFailure,
    types::NodeInfo,
};

/// Describes the failure of a call, for which `at` was tried. The types of
/// [`RpcError`](crate::RpcError) need names that are known at compile time.
pub(crate) fn error_info(
    service: &str,
    method: &str,
    at: Option<&NodeInfo>,
    failure: AttemptFailure,
) -> ErrorInfo {
    let may_have_executed = failure.may_have_executed();
    let (kind, why) = describe(failure);
    let on = at.map(|node| format!(" on {node}")).unwrap_or_default();
    ErrorInfo {
        kind,
        message: format!("{service}.{method}{on}: {why}"),
        node: at.cloned(),
        service: service.to_owned(),
        method: method.to_owned(),
        may_have_executed,
    }
}

fn describe(failure: AttemptFailure) -> (ErrorKind, String) {
    match failure {
        AttemptFailure::Unsupported(why) => (ErrorKind::Unsupported, why.to_string()),
        AttemptFailure::NotPrimary { theirs, ours } => (
            ErrorKind::NotPrimary,
            format!(
                "it is not primary: its primary region is {theirs}, and the caller's is {ours}"
            ),
        ),
        AttemptFailure::Refused(reason) => (ErrorKind::Refused, reason.to_string()),
        AttemptFailure::Denied { why } => (ErrorKind::Denied, why),
        AttemptFailure::Failed { message, .. } => (ErrorKind::Failed, message),
        AttemptFailure::Timeout { sent: true } => {
            (ErrorKind::Timeout, "timed out; it may have executed".to_owned())
        }
        AttemptFailure::Timeout { sent: false } => {
            (ErrorKind::Timeout, "timed out before it was sent".to_owned())
        }
        AttemptFailure::Disconnected { source, sent } => {
            let executed = if sent { "; it may have executed" } else { "" };
            (ErrorKind::Disconnected, format!("the link was lost: {source}{executed}"))
        }
        AttemptFailure::Panicked { message } => {
            (ErrorKind::Panicked, format!("the handler panicked: {message}"))
        }
        AttemptFailure::Encode(source) => (ErrorKind::Encode, source.to_string()),
        AttemptFailure::ArgumentsTooLarge { size, limit, .. } => (
            ErrorKind::ArgumentsTooLarge,
            format!("the arguments have {size} bytes, more than {limit}"),
        ),
        AttemptFailure::ReplyTooLarge { size, limit } => {
            (ErrorKind::ReplyTooLarge, format!("the reply has {size} bytes, more than {limit}"))
        }
        AttemptFailure::BadReply { source, .. } => (ErrorKind::BadReply, source.to_string()),
    }
}
