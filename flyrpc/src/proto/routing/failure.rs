//! Why attempts and calls fail, and what each failure permits.
//!
//! A failure says what happened and no more. Who called what is the same in all attempts of a call;
//! the client adds it when it builds the error that its user sees.

use std::{error::Error, sync::Arc};

use crate::{
    error::{BodyError, Known, Refusal, Unsupported},
    types::{NodeInfo, Region},
};

/// Why an attempt on one node gave no value.
#[derive(Debug, Clone)]
pub(crate) enum AttemptFailure {
    Unsupported(Unsupported),
    /// The node is not primary. Both primary regions, as the two nodes know them.
    NotPrimary {
        theirs: Region,
        ours: Region,
    },
    Refused(Refusal),
    /// The deadline passed. `sent` as in `RpcError`: whether all that it takes to start the request
    /// may have reached a socket.
    Timeout {
        sent: bool,
    },
    /// The link ended; `sent` as above.
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
    },
    ReplyTooLarge {
        size: u64,
        limit: u64,
    },
    BadReply(BodyError),
}

/// Why a call gave no value.
#[derive(Debug, Clone)]
pub(crate) enum CallFailure {
    /// An attempt on this node failed, or one would have.
    At { node: NodeInfo, failure: AttemptFailure },
    /// There is no node to try.
    NoNode(Known),
    /// The deadline passed while no attempt was in flight. `sent` tells of all attempts before.
    Timeout { sent: bool },
    /// This node was shut down.
    ShutDown,
}

impl AttemptFailure {
    /// Whether the handler may have run, in whole or in part.
    pub(crate) fn may_have_executed(&self) -> bool {
        match *self {
            AttemptFailure::Unsupported(_)
            | AttemptFailure::NotPrimary { .. }
            | AttemptFailure::Refused(_)
            | AttemptFailure::Encode(_)
            | AttemptFailure::ArgumentsTooLarge { .. } => false,
            AttemptFailure::Timeout { sent } | AttemptFailure::Disconnected { sent, .. } => sent,
            AttemptFailure::Panicked { .. }
            | AttemptFailure::ReplyTooLarge { .. }
            | AttemptFailure::BadReply(_) => true,
        }
    }

    /// Whether another node may be tried: if this one surely did not start the call, or the method is
    /// idempotent and it was the link that failed.
    ///
    /// Not after a panic, a timeout or a bad reply, even if the method is idempotent: the next node
    /// would most likely do the same, and the caller's time is better spent on the error.
    pub(crate) fn permits_retry(&self, idempotent: bool) -> bool {
        match *self {
            AttemptFailure::Unsupported(_)
            | AttemptFailure::NotPrimary { .. }
            | AttemptFailure::Refused(_) => true,
            AttemptFailure::Disconnected { sent, .. } => !sent || idempotent,
            AttemptFailure::Timeout { .. }
            | AttemptFailure::Panicked { .. }
            | AttemptFailure::Encode(_)
            | AttemptFailure::ArgumentsTooLarge { .. }
            | AttemptFailure::ReplyTooLarge { .. }
            | AttemptFailure::BadReply(_) => false,
        }
    }
}

impl CallFailure {
    /// Whether the handler may have run, in whole or in part.
    pub(crate) fn may_have_executed(&self) -> bool {
        match self {
            CallFailure::At { failure, .. } => failure.may_have_executed(),
            CallFailure::Timeout { sent } => *sent,
            CallFailure::NoNode(_) | CallFailure::ShutDown => false,
        }
    }

    /// Whether a call that waits for a node may hope that this changes.
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

    /// Whether nodes that discovery has not found yet may be able to take the call.
    pub(super) fn may_change_with_discovery(&self) -> bool {
        match self {
            CallFailure::NoNode(_) => true,
            CallFailure::At { failure, .. } => matches!(failure, AttemptFailure::Unsupported(_)),
            CallFailure::Timeout { .. } | CallFailure::ShutDown => false,
        }
    }
}
