//! The properties of a link that routing depends on.

use std::{sync::Arc, time::Duration};

use super::{
    compat::{CallerTrait, Compats},
    load::NodeLoad,
};
use crate::{
    error::Refusal,
    types::{NodeId, Region, ServiceSpec},
};

/// Whether calls can be sent over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkStatus {
    /// Calls can be sent.
    Good,
    /// Calls can be sent, but the node has been silent for a few heartbeats.
    Quiet,
    /// The node does not accept calls of the service.
    NotAccepting(Refusal),
    /// Calls cannot be sent: the link has ended or accepts no more calls.
    Disconnected,
}

/// A link, from the point of view of routing. Clones are handles to one link.
pub(crate) trait Endpoint: Clone {
    /// Returns whether both are the same link.
    fn is_same(&self, other: &Self) -> bool;

    /// Returns the node at the other end.
    fn node(&self) -> &NodeId;

    /// Returns whether calls of `service` can be sent.
    fn status(&self, service: &str) -> LinkStatus;

    /// Returns whether so much is queued on the link that calls have to wait before they are sent.
    fn is_congested(&self) -> bool;

    /// Returns the load of the node.
    fn load(&self) -> &Arc<NodeLoad>;

    /// Returns the services of the node, except the internal one.
    fn services(&self) -> &[ServiceSpec];

    /// Returns how the methods of a caller's trait match the services of the node.
    fn compats(&self, caller: &CallerTrait) -> &Compats;

    /// Returns the shortest of the last round trips, or `None` before the first one.
    fn round_trip(&self) -> Option<Duration>;

    /// Returns whether the node considers `region` the primary region.
    fn considers_primary(&self, region: &Region) -> bool;
}
