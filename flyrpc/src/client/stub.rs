//! Calls that go through a tarpc stub, without a node.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use super::Caller;
use crate::{RpcError, service::Request};

/// How a client made with `from_stub` calls: through any tarpc `Stub`.
pub struct ViaStub<S>(Arc<S>);

impl<S> ViaStub<S> {
    /// Calls go through `stub`.
    pub fn new(stub: S) -> Self {
        ViaStub(Arc::new(stub))
    }
}

impl<S> Clone for ViaStub<S> {
    fn clone(&self) -> Self {
        ViaStub(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for ViaStub<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViaStub").finish_non_exhaustive()
    }
}

impl<R, S> Caller<R> for ViaStub<S>
where
    R: Request + tarpc::RequestName,
    S: tarpc::client::stub::Stub<Req = R, Resp = R::Response> + 'static,
{
    fn call(self, request: R) -> impl Future<Output = Result<R::Response, RpcError>> + 'static {
        async move { todo!() }
    }
}
