//! What a call that is one of many shares with the stream of their replies.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::types::NodeInfo;

/// What a call that is one of many shares with the stream of their replies.
#[derive(Debug)]
pub(super) struct EachCall {
    /// When the stream was first polled, on this node's clock. The deadline of the call counts from then.
    since: Instant,
    /// The node that answered the call, or else the node of its last attempt.
    node: Mutex<Option<NodeInfo>>,
}

impl EachCall {
    pub(super) fn new(since: Instant) -> Self {
        EachCall { since, node: Mutex::new(None) }
    }

    /// How long after the first poll of the stream a call starts that starts `now`.
    pub(super) fn delay(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Records the node of an attempt that starts, or that has ended with a reply.
    pub(super) fn set_node(&self, node: &NodeInfo) {
        *self.node.lock().unwrap_or_else(PoisonError::into_inner) = Some(node.clone());
    }

    /// Returns the node that answered.
    pub(super) fn node(&self) -> Option<NodeInfo> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
