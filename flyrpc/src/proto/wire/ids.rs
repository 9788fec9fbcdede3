//! Numbers that frames carry.

use std::fmt;

/// Identifies a request in one direction of a link. The caller's end counts from 1 and never reuses
/// an id. The reply, its chunks and the cancellation carry the id of their request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestId(pub(crate) u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identifies a method on a link: its index among the methods that the serving end listed in its
/// hello, counted across services in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MethodIndex(pub(crate) u64);
