//! Calls that go through a node: the aim of a client, and the options of its calls.

use std::{future::Future, sync::Arc, time::Duration};

use super::Caller;
use crate::{NodeId, Region, RpcError, service::Request};

/// How a client made by [`Node::client`](crate::Node::client) calls: through that node, which knows
/// who is where.
#[derive(Debug, Clone)]
pub struct Routed {}

impl Routed {
    /// Aims at a region.
    pub fn on_region(&self, region: Region) -> Self {
        todo!()
    }

    /// Aims at the primary region.
    pub fn on_primary(&self) -> Self {
        todo!()
    }

    /// Aims at one boot of one node.
    pub fn on_node(&self, id: NodeId) -> Self {
        todo!()
    }

    /// Bounds the time of each call.
    pub fn timeout(&self, timeout: Duration) -> Self {
        todo!()
    }

    /// Lets each call wait for a node.
    pub fn wait(&self, wait: Duration) -> Self {
        todo!()
    }
}

impl<R: Request> Caller<R> for Routed {
    fn call(self, request: R) -> impl Future<Output = Result<R::Response, RpcError>> + 'static {
        async move { todo!() }
    }
}
