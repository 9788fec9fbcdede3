//! Calls that go through a node.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use super::{
    caller::{Caller, Value},
    each_call::EachCall,
    future,
    selector::{CallMetadata, CallOptions, Selector},
};
use crate::{
    error::RpcError,
    runtime::{
        context::Context,
        shared::{NodeInUse, NodeRef},
    },
    service::Request,
    types::{NodeId, Region},
};

/// Routes the calls of a client through the node that created it with
/// [`Node::client`](crate::runtime::node::Node::client). It is the default `Via` parameter of a
/// generated client such as `StringsClient`; programs need not name it.
#[derive(Clone)]
pub struct Routed {
    node: NodeRef,
    options: CallOptions,
}

impl Routed {
    pub(crate) fn new(node: NodeRef) -> Self {
        let options = CallOptions {
            selector: Selector::Default,
            further: None,
            timeout: None,
            wait: None,
            metadata: None,
            each: None,
        };
        Routed { node, options }
    }

    fn with(&self, selector: Selector) -> Self {
        let CallOptions { timeout, wait, ref metadata, ref each, .. } = self.options;
        let (metadata, each) = (metadata.clone(), each.clone());
        let options = CallOptions { selector, further: None, timeout, wait, metadata, each };
        Routed { node: self.node.clone(), options }
    }

    fn or(&self, selector: Selector) -> Self {
        let mut routed = self.clone();
        let further = routed.options.further.as_deref().unwrap_or_default();
        routed.options.further = Some(further.iter().cloned().chain([selector]).collect());
        routed
    }

    /// Returns the caller for one of the calls on many nodes.
    pub(super) fn for_each_call(&self, selector: Selector, each: Option<Arc<EachCall>>) -> Self {
        let mut routed = self.with(selector);
        routed.options.each = each;
        routed
    }

    /// The node that the calls go through, unless it no longer exists.
    pub(super) fn node(&self) -> Option<NodeInUse> {
        self.node.clone().upgrade()
    }

    /// Targets a region.
    #[doc(hidden)]
    pub fn on_region(&self, region: Region) -> Self {
        self.with(Selector::Region(region))
    }

    /// Targets the primary region.
    #[doc(hidden)]
    pub fn on_primary(&self) -> Self {
        self.with(Selector::Primary)
    }

    /// Targets one boot of one node.
    #[doc(hidden)]
    pub fn on_node(&self, id: NodeId) -> Self {
        self.with(Selector::Node(id))
    }

    /// Targets the nearest node.
    #[doc(hidden)]
    pub fn nearest(&self) -> Self {
        self.with(Selector::Default)
    }

    /// Appends a region to the targets.
    #[doc(hidden)]
    pub fn or_region(&self, region: Region) -> Self {
        self.or(Selector::Region(region))
    }

    /// Appends the nearest node to the targets.
    #[doc(hidden)]
    pub fn or_nearest(&self) -> Self {
        // Methods that run only on primary nodes, whose default is the primary, have no further targets.
        self.or(Selector::Default)
    }

    /// Appends the primary region to the targets.
    #[doc(hidden)]
    pub fn or_primary(&self) -> Self {
        self.or(Selector::Primary)
    }

    /// Sets the timeout of each call.
    #[doc(hidden)]
    pub fn timeout(&self, timeout: Duration) -> Self {
        let mut routed = self.clone();
        routed.options.timeout = Some(timeout);
        routed
    }

    /// Sets how long each call may wait for a node.
    #[doc(hidden)]
    pub fn wait(&self, wait: Duration) -> Self {
        let mut routed = self.clone();
        routed.options.wait = Some(wait);
        routed
    }

    /// Sets a value that is sent with each call.
    #[doc(hidden)]
    pub fn metadata(&self, name: &str, value: &str) -> Self {
        let mut routed = self.clone();
        let metadata = CallMetadata::with(routed.options.metadata.as_deref(), name, value);
        routed.options.metadata = Some(Arc::new(metadata));
        routed
    }
}

impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routed")
            .field("node", &self.node().map(|node| node.me().clone()))
            .field("selector", &self.options.selector)
            .field("further", &self.options.further.as_deref().unwrap_or_default())
            .field("timeout", &self.options.timeout)
            .field("wait", &self.options.wait)
            .field("metadata", &self.options.metadata.as_ref().map(|it| &it.metadata))
            .finish()
    }
}

impl<R: Request> Caller<R> for Routed {
    fn call<T: 'static>(
        &self,
        request: R,
        value: Value<R, T>,
    ) -> impl Future<Output = Result<T, RpcError>> + 'static + use<R, T> {
        // A call made in a handler belongs to that handler's call, no matter where its future is
        // awaited.
        let enclosing = Context::try_current();
        future::call(self.node.clone(), self.options.clone(), request, enclosing, value)
    }
}
