//! The failures of attempts and calls, and whether each of them permits a retry.
//!
//! A failure describes only what happened. The target, service and method are the same in all attempts
//! of a call. The client adds them when it builds the error that the user receives.

use std::{error::Error, sync::Arc};

use crate::{
    error::{BodyError, Known, Refusal, Unsupported},
    types::{NodeInfo, Region},
};

/// Why an attempt on one node did not return a value.
#[derive(Debug, Clone)]
pub(crate) enum AttemptFailure {
    Unsupported(Unsupported),
    /// The node is not primary. Holds the primary region in that node's view, and in this node's view.
    NotPrimary {
        theirs: Region,
        ours: Region,
    },
    Refused(Refusal),
    /// The node's rules do not allow the call.
    Denied {
        why: String,
    },
    /// The node reported an error that this version does not know. `executed` is whether the handler may
    /// have run.
    Failed {
        message: String,
        executed: bool,
    },
    /// The deadline passed. `sent` is whether a complete request may have reached a socket, as in
    /// `RpcError`.
    Timeout {
        sent: bool,
    },
    /// The link ended. `sent` has the same meaning as in `Timeout`.
    Disconnected {
        sent: bool,
        source: Arc<dyn Error + Send + Sync>,
    },
    Panicked {
        message: String,
    },
    Encode(BodyError),
    ArgumentsTooLarge {
        size: u64,
        limit: u64,
        limit_of: LimitOf,
    },
    ReplyTooLarge {
        size: u64,
        limit: u64,
    },
    /// The reply could not be decoded if `encoded`, otherwise it could not be encoded.
    BadReply {
        encoded: bool,
        source: BodyError,
    },
}

/// The node whose limit a body exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitOf {
    /// This node's own limit. No other node can take the body either.
    Caller,
    /// The limit of the attempt's node, which is lower than this node's own.
    Peer,
}

/// Why a call did not return a value.
#[derive(Debug, Clone)]
pub(crate) enum CallFailure {
    /// An attempt on this node failed, or would have failed and was not made.
    At { node: NodeInfo, failure: AttemptFailure },
    /// There is no node to try.
    NoNode(Known),
    /// The deadline passed while no attempt was in flight. `sent` covers all earlier
    /// attempts.
    Timeout { sent: bool },
    /// This node was shut down.
    ShutDown,
}

impl AttemptFailure {
    /// Returns whether the handler may have run, in whole or in part.
    pub(crate) fn may_have_executed(&self) -> bool {
        match *self {
            AttemptFailure::Unsupported(_)
            | AttemptFailure::NotPrimary { .. }
            | AttemptFailure::Refused(_)
            | AttemptFailure::Denied { .. }
            | AttemptFailure::Encode(_)
            | AttemptFailure::ArgumentsTooLarge { .. } => false,
            AttemptFailure::Timeout { sent } | AttemptFailure::Disconnected { sent, .. } => sent,
            AttemptFailure::Failed { executed, .. } => executed,
            AttemptFailure::Panicked { .. }
            | AttemptFailure::ReplyTooLarge { .. }
            | AttemptFailure::BadReply { .. } => true,
        }
    }

    /// Returns whether another node may be tried. It may if this node refused the call, does not support
    /// the call, accepts only smaller arguments than other nodes, or reported that it did not execute it. It also may if the link failed
    /// before the request was sent, or if the link failed and the method is idempotent.
    ///
    /// A panic, a timeout or a bad reply permits no retry, even if the method is idempotent. The next
    /// node would most likely fail in the same way, so the caller receives the error immediately. A denial
    /// permits none because a call must not look for a node whose rules are more lenient.
    pub(crate) fn permits_retry(&self, idempotent: bool) -> bool {
        match *self {
            AttemptFailure::Unsupported(_)
            | AttemptFailure::NotPrimary { .. }
            | AttemptFailure::Refused(_)
            | AttemptFailure::ArgumentsTooLarge { limit_of: LimitOf::Peer, .. } => true,
            AttemptFailure::Failed { executed, .. } => !executed,
            AttemptFailure::Disconnected { sent, .. } => !sent || idempotent,
            AttemptFailure::Denied { .. }
            | AttemptFailure::Timeout { .. }
            | AttemptFailure::Panicked { .. }
            | AttemptFailure::Encode(_)
            | AttemptFailure::ArgumentsTooLarge { .. }
            | AttemptFailure::ReplyTooLarge { .. }
            | AttemptFailure::BadReply { .. } => false,
        }
    }
}

impl CallFailure {
    /// Returns whether the handler may have run, in whole or in part.
    pub(crate) fn may_have_executed(&self) -> bool {
        match self {
            CallFailure::At { failure, .. } => failure.may_have_executed(),
            CallFailure::Timeout { sent } => *sent,
            CallFailure::NoNode(_) | CallFailure::ShutDown => false,
        }
    }

    /// Returns whether the call may still succeed if it waits for a node.
    pub(super) fn may_change(&self) -> bool {
        match self {
            CallFailure::NoNode(_) => true,
            CallFailure::At { failure, .. } => matches!(
                failure,
                AttemptFailure::Refused(_)
                    | AttemptFailure::NotPrimary { .. }
                    | AttemptFailure::Disconnected { .. }
            ),
            CallFailure::Timeout { .. } | CallFailure::ShutDown => false,
        }
    }

    /// Returns whether nodes that discovery has not found yet may be able to take the call.
    pub(super) fn may_change_with_discovery(&self) -> bool {
        match self {
            CallFailure::NoNode(_) => true,
            CallFailure::At { failure, .. } => matches!(failure, AttemptFailure::Unsupported(_)),
            CallFailure::Timeout { .. } | CallFailure::ShutDown => false,
        }
    }
}
