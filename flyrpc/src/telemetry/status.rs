//! The texts for how calls and handlers end, in metrics and spans.

use super::{Outcome, ServeOutcome};

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

/// Returns the status of a handler.
pub(super) fn of_handler(outcome: ServeOutcome) -> &'static str {
    match outcome {
        ServeOutcome::Replied => OK,
        ServeOutcome::RepliedErr => ERR,
        ServeOutcome::Failed(kind) => kind.as_str(),
        ServeOutcome::Cancelled => CANCELLED,
    }
}
