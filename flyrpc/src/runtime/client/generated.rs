//! The trait that all generated clients implement.

use super::routed::Routed;
use crate::service::Request;

/// A generated client, as [`Node::client`](crate::runtime::node::Node::client) returns it. For a
/// trait `Strings`, [`#[fly_rpc]`](crate::fly_rpc) generates a `StringsClient` that implements this
/// trait. Do not implement it by hand.
pub trait Client: Sized {
    /// The service's request.
    #[doc(hidden)]
    type Request: Request;

    /// Creates a client that routes its calls through a node.
    #[doc(hidden)]
    fn from_routed(routed: Routed) -> Self;
}
