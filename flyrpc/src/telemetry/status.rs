//! The texts for how calls and handlers end, in metrics and spans.

use super::{Outcome, ServeOutcome};
use crate::error::ErrorKind;

const OK: &str = "OK";
/// The handler returned an `Err`.
const ERR: &str = "ERR";
/// The caller dropped the call.
const CANCELLED: &str = "CANCELLED";

/// Returns the status of a call, or of one of its attempts.
pub(super) fn of_call(outcome: &Outcome<'_>) -> &'static str {
    match outcome {
        Outcome::Replied(_) => OK,
        Outcome::RepliedErr(_) => ERR,
        Outcome::Failed(error) => error.kind().as_str(),
        Outcome::Cancelled => CANCELLED,
    }
}

/// Returns why an attempt after the first one of a call was made. `previous` is the kind of the error of the attempt
/// before. Without one, that attempt was still in progress.
pub(super) fn reason_for_retry(previous: Option<ErrorKind>) -> &'static str {
    previous.map_or("NOT_FAILED", ErrorKind::as_str)
}

/// Returns the status of a handler.
pub(crate) fn of_handler(outcome: ServeOutcome) -> &'static str {
    match outcome {
        ServeOutcome::Replied => OK,
        ServeOutcome::RepliedErr => ERR,
        ServeOutcome::Failed(kind) => kind.as_str(),
        ServeOutcome::Cancelled => CANCELLED,
    }
}
