//! Calls that go through a node: the aim of a client, and the options of its calls.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use super::{Caller, call};
use crate::{
    error::RpcError,
    runtime::{context::Context, shared::Handle},
    service::Request,
    types::{NodeId, Region},
};

/// How a client made by [`Node::client`](crate::runtime::node::Node::client) calls: through that node, which knows
/// who is where. It is the `Via` of a `StringsClient` that does not say another; programs need not
/// name it.
#[derive(Clone)]
pub struct Routed {
    pub(super) node: Arc<Handle>,
    pub(super) aim: Selector,
    pub(super) timeout: Option<Duration>,
    pub(super) wait: Option<Duration>,
}

/// What a client is aimed at.
#[derive(Debug, Clone)]
pub(super) enum Selector {
    /// What the method says: the primary, or else the nearest.
    Default,
    Region(Region),
    Primary,
    Node(NodeId),
}

impl Routed {
    pub(crate) fn new(node: Arc<Handle>) -> Self {
        Routed { node, aim: Selector::Default, timeout: None, wait: None }
    }

    /// Aims at a region.
    #[doc(hidden)]
    pub fn on_region(&self, region: Region) -> Self {
        Routed { aim: Selector::Region(region), ..self.clone() }
    }

    /// Aims at the primary region.
    #[doc(hidden)]
    pub fn on_primary(&self) -> Self {
        Routed { aim: Selector::Primary, ..self.clone() }
    }

    /// Aims at one boot of one node.
    #[doc(hidden)]
    pub fn on_node(&self, id: NodeId) -> Self {
        Routed { aim: Selector::Node(id), ..self.clone() }
    }

    /// Bounds the time of each call.
    #[doc(hidden)]
    pub fn timeout(&self, timeout: Duration) -> Self {
        Routed { timeout: Some(timeout), ..self.clone() }
    }

    /// Lets each call wait for a node.
    #[doc(hidden)]
    pub fn wait(&self, wait: Duration) -> Self {
        Routed { wait: Some(wait), ..self.clone() }
    }
}

impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routed")
            .field("node", self.node.me())
            .field("aim", &self.aim)
            .field("timeout", &self.timeout)
            .field("wait", &self.wait)
            .finish()
    }
}

impl<R: Request> Caller<R> for Routed {
    fn call(self, request: R) -> impl Future<Output = Result<R::Response, RpcError>> + 'static {
        // A call made in a handler belongs to it, wherever it is awaited.
        call::make(self, request, Context::try_current())
    }
}
