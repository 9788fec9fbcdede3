//! What the rest of the node learns of a link while it is open, and at its end.

use crate::proto::{link::lifecycle::LinkError, wire::frame::GoAway};

/// Something happened to a link.
pub(crate) enum LinkEvent {
    /// The peer accepts other calls than before.
    StateChanged,
    /// The link became quiet, or recovered.
    QuietChanged,
    /// The peer asks for no more requests.
    GoAway(GoAway),
    /// The link is of no more use.
    Ended(LinkError),
}
