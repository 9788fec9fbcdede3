//! What all generated clients have in common.

use super::routed::Routed;
use crate::service::Request;

/// A generated client: what [`Node::client`](crate::runtime::node::Node::client) makes. Implemented by the
/// `StringsClient` that [`#[fly_rpc]`](crate::fly_rpc) makes of a trait `Strings`, and not by hand.
pub trait Client: Sized {
    /// The service's request.
    #[doc(hidden)]
    type Request: Request;

    /// The client that routes through a node.
    #[doc(hidden)]
    fn from_routed(routed: Routed) -> Self;
}
