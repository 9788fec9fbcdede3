//! What the driver of a call reports to [`Retry`](super::state::Retry), and the steps that it receives.

use std::time::Duration;

use crate::proto::routing::failure::{AttemptFailure, CallFailure};

/// How an attempt without a reply ended.
#[derive(Debug, Clone)]
pub(crate) enum AttemptEnd {
    /// The link was closed or went quiet before the whole request was sent. Another link to the same node
    /// may exist.
    LinkClosed,
    /// The request could not be encoded or sent for this node, so nothing was sent. Another node may
    /// accept it.
    NotSent(AttemptFailure),
    Failed(AttemptFailure),
}

impl From<AttemptFailure> for AttemptEnd {
    fn from(failure: AttemptFailure) -> Self {
        AttemptEnd::Failed(failure)
    }
}

/// The result of a pick that found no node.
#[derive(Debug, Clone)]
pub(crate) struct NoCandidate {
    pub(crate) failure: CallFailure,
    /// Whether the first round of discovery is complete. Before that, there may be nodes that this one
    /// has not found.
    pub(crate) discovery_ready: bool,
}

/// How dialing a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialed {
    Linked,
    Failed,
    /// The call's deadline passed first.
    TimedOut,
}

/// The next step of a call.
#[derive(Debug)]
pub(crate) enum Step {
    /// Pick a node that was not [tried](super::state::Retry::tried), and start an attempt on it.
    Pick,
    /// Wait until one of the attempts in flight ends or its node goes quiet, or until dialing a node
    /// ends. If the call [wants another](super::state::Retry::wants_another) attempt, a change of the table also ends
    /// the wait.
    AwaitAttempts,
    /// Wait until the table of known nodes changes, but no longer than this. If `for_turn` is set, a
    /// node has refused the call, and the wait also ends when it is this call's turn to ask again.
    WaitForChange {
        at_most: Duration,
        for_turn: bool,
    },
    Fail(CallFailure),
}

/// The reason that a [wait](Step::WaitForChange) ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The table changed, or the time elapsed.
    Changed,
    /// It is this call's turn to ask the nodes that refused it again.
    Turn,
}
