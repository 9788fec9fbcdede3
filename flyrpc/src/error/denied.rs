//! [`Denied`].

use std::{error::Error, fmt};

/// The reason why a node does not serve a call. Returned by the function passed to
/// [`NodeBuilder::authorize`](crate::NodeBuilder::authorize).
///
/// The caller receives the reason in [`RpcError::Denied`](crate::RpcError::Denied). A reason of more than
/// 8 KiB is truncated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    reason: String,
}

impl Denied {
    /// Creates a denial for this reason. The message of the caller's error ends with it, as in
    /// `Notes.delete was denied by node …: only nodes in iad delete notes`.
    pub fn new(reason: impl Into<String>) -> Self {
        Denied { reason: reason.into() }
    }

    pub(crate) fn into_reason(self) -> String {
        self.reason
    }
}

impl From<&str> for Denied {
    fn from(reason: &str) -> Self {
        Denied::new(reason)
    }
}

impl From<String> for Denied {
    fn from(reason: String) -> Self {
        Denied::new(reason)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Error for Denied {}
