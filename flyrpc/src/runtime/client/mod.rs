//! The client's side of a call.

mod arguments;
mod call;
mod local;
mod record;
mod remote;
mod response;
mod routed;
mod stub;

use std::future::Future;

pub use self::{routed::Routed, stub::ViaStub};
use crate::{error::RpcError, service::Request};

/// A generated client: what [`Node::client`](super::node::Node::client) makes. Implemented by the
/// `StringsClient` that [`#[fly_rpc]`](crate::fly_rpc) makes of a trait `Strings`, and not by hand.
pub trait Client: Sized {
    /// The service's request.
    #[doc(hidden)]
    type Request: Request;

    /// The client that routes through a node.
    #[doc(hidden)]
    fn from_routed(routed: Routed) -> Self;
}

/// How a generated client takes a request to its service.
pub trait Caller<R: Request>: Clone + 'static {
    /// Makes the call. Dropping the future cancels it.
    fn call(self, request: R) -> impl Future<Output = Result<R::Response, RpcError>> + 'static;
}
