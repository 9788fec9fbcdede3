//! What routing needs to know of a link.

use std::{sync::Arc, time::Duration};

use super::compat::{CallerTrait, Compats};
use crate::{error::Refusal, types::Region};

/// Whether calls can be sent over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkStatus {
    /// They can.
    Good,
    /// They can, but the node has been silent for a few heartbeats.
    Quiet,
    /// The node does not accept calls of the service.
    NotAccepting(Refusal),
    /// They cannot: the link has ended or takes no more calls.
    Disconnected,
}

/// A link, as routing sees it.
pub(crate) trait Endpoint {
    /// Whether calls of `service` can be sent.
    fn status(&self, service: &str) -> LinkStatus;

    /// How the methods of a caller's trait match what the node serves.
    fn compats(&self, caller: &CallerTrait) -> Arc<Compats>;

    /// The shortest of the last round trips, once there was one.
    fn round_trip(&self) -> Option<Duration>;

    /// Whether the node considers `region` the primary region.
    fn considers_primary(&self, region: &Region) -> bool;
}
