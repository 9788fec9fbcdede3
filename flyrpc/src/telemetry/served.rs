//! The values that an observer receives about the calls that its node serves.

use crate::{error::ErrorKind, types::NodeInfo};

/// An attempt of a call, as seen by the node that serves it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Served<'a> {
    /// This node, which serves the call.
    pub node: &'a NodeInfo,
    /// The node that makes the call.
    pub caller: &'a NodeInfo,
    /// The service's name on the wire.
    pub service: &'static str,
    /// The method's name on the wire.
    pub method: &'static str,
    /// The number of the attempt among the attempts of the call, counted from 1.
    pub attempt: u32,
    /// Whether the caller is this node itself, so that the call needs no link.
    pub local: bool,
    /// The number of the execution among all executions of this boot of the node, counted from 1. It connects
    /// [`ServeStarted`](super::Observed::ServeStarted) to [`ServeEnded`](super::Observed::ServeEnded). `None` in all
    /// other reports, because no handler has started.
    pub execution: Option<u64>,
}

/// The outcome of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServeOutcome {
    /// The handler returned a value.
    Replied,
    /// The handler returned an `Err`.
    RepliedErr,
    /// The caller receives an error of this kind: the handler panicked, it did not end by the deadline, or its
    /// value could not be encoded.
    Failed(ErrorKind),
    /// The caller no longer waits, because it canceled the call or its link ended.
    Cancelled,
}
