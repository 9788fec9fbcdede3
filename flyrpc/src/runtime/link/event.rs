//! The events that a link reports to the rest of the node.

use crate::proto::{link::lifecycle::LinkError, wire::frame::GoAway};

/// An event on a link.
pub(crate) enum LinkEvent {
    /// The peer has changed which calls it accepts.
    StateChanged,
    /// The link became quiet, or recovered.
    QuietChanged,
    /// The peer sends no more requests, and asks this node to stop too.
    GoAway(GoAway),
    /// The peer failed so often that calls prefer other nodes.
    Ejected,
    /// The peer is no longer ejected.
    Restored,
    /// The budget for retries in the peer's region is exhausted.
    RetriesExhausted,
    /// The link has ended.
    Ended(LinkError),
}
