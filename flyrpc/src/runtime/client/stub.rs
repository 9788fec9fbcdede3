//! Calls that go through a tarpc stub, without a node.

use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use tarpc::client::stub::Stub;
use tokio::time::timeout;

use super::Caller;
use crate::{error::RpcError, runtime::context::Context, service::Request};

/// How long a call may take that neither says nor inherits it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The furthest deadline that tarpc is given: past about 2 years its dispatch task panics.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

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
    S: Stub<Req = R, Resp = R::Response> + 'static,
{
    fn call(self, request: R) -> impl Future<Output = Result<R::Response, RpcError>> + 'static {
        // A call made in a handler belongs to it, wherever it is awaited.
        let enclosing = Context::try_current();
        async move {
            let call = Call::of(&request, enclosing.or_else(Context::try_current));
            match timeout(call.after, self.0.call(call.tarpc_context(), request)).await {
                Ok(Ok(reply)) => Ok(reply),
                Ok(Err(error)) => Err(call.error(error)),
                Err(_elapsed) => Err(call.timeout()),
            }
        }
    }
}

/// What the errors of a call say of it.
struct Call {
    service: &'static str,
    method: &'static str,
    after: Duration,
}

impl Call {
    fn of<R: Request>(request: &R, enclosing: Option<Context>) -> Self {
        let method = &R::methods()[request.method()];
        let own = method.options.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let left = enclosing.map_or(Duration::MAX, |context| context.remaining());
        Call { service: R::SERVICE, method: method.name, after: own.min(left) }
    }

    /// tarpc's deadline is a time on the system's clock, and is checked only where tarpc gets round to
    /// it: our own timer decides. The peer is told of it, so that it gives the call up too.
    fn tarpc_context(&self) -> tarpc::context::Context {
        let mut context = tarpc::context::current();
        context.deadline = std::time::Instant::now() + self.after.min(LONGEST_TIMEOUT);
        context
    }

    fn timeout(&self) -> RpcError {
        RpcError::Timeout {
            after: self.after,
            node: None,
            service: self.service,
            method: self.method,
            sent: true,
        }
    }

    fn error(&self, error: tarpc::client::RpcError) -> RpcError {
        use tarpc::client::RpcError as Tarpc;

        match error {
            Tarpc::DeadlineExceeded => self.timeout(),
            Tarpc::Send(error) => match error.downcast::<RpcError>() {
                Ok(ours) => *ours,
                Err(error) => self.disconnected(Arc::from(error)),
            },
            error @ (Tarpc::Shutdown | Tarpc::Channel(_)) => self.disconnected(Arc::new(error)),
            error @ Tarpc::Server(_) => RpcError::Stub {
                service: self.service,
                method: self.method,
                source: Arc::new(error),
            },
        }
    }

    fn disconnected(&self, source: Arc<dyn Error + Send + Sync>) -> RpcError {
        RpcError::Disconnected {
            node: None,
            service: self.service,
            method: self.method,
            sent: true,
            source,
        }
    }
}
