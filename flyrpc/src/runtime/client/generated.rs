//! The trait that all generated clients implement, and the clients of handlers.

use std::sync::{Arc, Weak};

use super::routed::Routed;
use crate::{
    runtime::{
        context::Context,
        shared::{NodeRef, NodeShared},
    },
    service::Request,
};

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

// This method is here rather than in `context.rs`, so that contexts do not depend on clients.
impl Context {
    /// Returns a client that calls through the node that runs the handler.
    ///
    /// A service that calls others should use this instead of holding a client of its own node: a client
    /// from [`Node::client`](crate::Node::client) keeps its node running, and the node keeps the service.
    /// The client that this method returns keeps nothing running, and may be stored. Its calls fail with
    /// [`RpcError::ShutDown`](crate::RpcError::ShutDown) once the node has ended, and if the service is
    /// called through plain tarpc, without a node.
    ///
    /// ```
    /// # use flyrpc::{Node, RpcError, fly_rpc};
    /// #[fly_rpc]
    /// trait Strings {
    ///     /// Upper-cases `text`.
    ///     async fn upcase(&self, text: String) -> String;
    /// }
    ///
    /// #[fly_rpc]
    /// trait Greeter {
    ///     /// Greets `name` loudly.
    ///     async fn greet(&self, name: String) -> String;
    /// }
    ///
    /// struct Shout;
    ///
    /// impl Strings for Shout {
    ///     async fn upcase(&self, text: String) -> String {
    ///         text.to_uppercase()
    ///     }
    /// }
    ///
    /// struct Loud;
    ///
    /// impl Greeter for Loud {
    ///     async fn greet(&self, name: String) -> String {
    ///         let strings: StringsClient = flyrpc::context().client();
    ///         strings.upcase(name).await.unwrap_or_else(|error| error.to_string())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = Node::builder()
    ///     .serve(ServeStrings::new(Shout))
    ///     .serve(ServeGreeter::new(Loud))
    ///     .start()
    ///     .await?;
    /// let greeter: GreeterClient = node.client();
    /// assert_eq!(greeter.greet("fly".into()).await?, "FLY");
    /// # node.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn client<C: Client>(&self) -> C {
        let node = self.node::<NodeShared>().map_or_else(Weak::new, |node| Arc::downgrade(&node));
        C::from_routed(Routed::new(NodeRef::Weak(node)))
    }
}
