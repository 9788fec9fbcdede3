//! How calls and handlers end, in metrics, spans and reports.

use super::{Outcome, ServeOutcome};
use crate::error::ErrorKind;

/// The status of a call, of one of its attempts, or of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallStatus {
    Ok,
    /// The handler returned an `Err`.
    Err,
    /// The caller dropped the call.
    Cancelled,
    Failed(ErrorKind),
}

impl CallStatus {
    /// The number of statuses.
    pub(crate) const COUNT: usize = 3 + ErrorKind::ALL.len();

    /// All statuses, in the order of their [indices](Self::index).
    pub(crate) fn all() -> impl Iterator<Item = CallStatus> {
        let failed = ErrorKind::ALL.iter().map(|kind| CallStatus::Failed(*kind));
        [CallStatus::Ok, CallStatus::Err, CallStatus::Cancelled].into_iter().chain(failed)
    }

    /// Returns a number less than [`COUNT`](Self::COUNT), which differs for each status.
    pub(crate) fn index(self) -> usize {
        match self {
            CallStatus::Ok => 0,
            CallStatus::Err => 1,
            CallStatus::Cancelled => 2,
            CallStatus::Failed(kind) => 3 + kind.index(),
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            CallStatus::Ok => "OK",
            CallStatus::Err => "ERR",
            CallStatus::Cancelled => "CANCELLED",
            CallStatus::Failed(kind) => kind.as_str(),
        }
    }
}

impl From<&Outcome<'_>> for CallStatus {
    fn from(outcome: &Outcome<'_>) -> Self {
        match outcome {
            Outcome::Replied(_) => CallStatus::Ok,
            Outcome::RepliedErr(_) => CallStatus::Err,
            Outcome::Failed(error) => CallStatus::Failed(error.kind()),
            Outcome::Cancelled => CallStatus::Cancelled,
        }
    }
}

impl From<ServeOutcome> for CallStatus {
    fn from(outcome: ServeOutcome) -> Self {
        match outcome {
            ServeOutcome::Replied => CallStatus::Ok,
            ServeOutcome::RepliedErr => CallStatus::Err,
            ServeOutcome::Failed(kind) => CallStatus::Failed(kind),
            ServeOutcome::Cancelled => CallStatus::Cancelled,
        }
    }
}

/// Returns why an attempt after the first one of a call was made. `previous` is the kind of the error of the attempt
/// before. Without one, that attempt was still in progress.
pub(super) fn reason_for_retry(previous: Option<ErrorKind>) -> &'static str {
    previous.map_or("NOT_FAILED", ErrorKind::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_an_index_of_its_own() {
        let indices: Vec<usize> = CallStatus::all().map(CallStatus::index).collect();
        assert_eq!(indices, (0..CallStatus::COUNT).collect::<Vec<_>>());
    }
}
