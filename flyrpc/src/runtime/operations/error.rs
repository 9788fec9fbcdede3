//! The errors of calls whose names are known only at run time.

use crate::{
    error::{ErrorInfo, ErrorKind, outcome},
    proto::routing::AttemptFailure,
    runtime::link::INTERNAL_BODY_MAX,
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

/// Describes the failure of a call whose arguments or whose reply, of `size` bytes, are larger than what nodes pass on for
/// visitors, whatever the limits of the nodes are. `kind` is the kind of the error.
pub(crate) fn too_large_to_relay(
    service: &str,
    method: &str,
    at: Option<&NodeInfo>,
    kind: ErrorKind,
    size: usize,
) -> ErrorInfo {
    let may_have_executed = kind == ErrorKind::ReplyTooLarge;
    let what = if may_have_executed { "reply has" } else { "arguments have" };
    let on = at.map(|node| format!(" on {node}")).unwrap_or_default();
    let executed = if may_have_executed { "" } else { "; it did not execute" };
    ErrorInfo {
        kind,
        message: format!(
            "{service}.{method}{on}: the {what} {size} bytes; calls through a visitor, such as the \
                command `flyrpc`, are limited to {INTERNAL_BODY_MAX}{executed}"
        ),
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
        AttemptFailure::Failed { message, executed } => {
            (ErrorKind::Failed, format!("{message}; {}", outcome(executed)))
        }
        AttemptFailure::Timeout { sent } => {
            let when = if sent { "" } else { " before it was sent" };
            (ErrorKind::Timeout, format!("timed out{when}; {}", outcome(sent)))
        }
        AttemptFailure::Disconnected { source, sent } => {
            (ErrorKind::Disconnected, format!("the link was lost: {source}; {}", outcome(sent)))
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
