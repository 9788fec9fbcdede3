//! Interoperation with tarpc (feature `tarpc`): calls of generated clients through any tarpc
//! `Stub`, and generated services that implement tarpc's `Serve`. Only this file names the tarpc
//! crate.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    net::{Ipv6Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

/// Re-exported for generated code, because the user's crate may depend on flyrpc alone.
pub use ::tarpc;
use ::tarpc::{RequestName, ServerError, client::stub::Stub};
use tokio::time::{Instant, timeout};

use super::{
    client::{Caller, DEFAULT_TIMEOUT, Value},
    context::{Context, Host, poll_in},
};
use crate::{
    env::TokioEnv,
    error::RpcError,
    service::{Handler, Request},
    types::{NodeId, NodeInfo, Region},
};

/// Upper bound on timeouts, in both directions. tarpc's dispatch task panics if a deadline is more
/// than about 2 years ahead, and a peer may send `Duration::MAX`, which no clock can represent.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Makes the calls of a client that was created by `from_stub`, through any tarpc `Stub`.
pub struct ViaStub<S>(Arc<S>);

impl<S> ViaStub<S> {
    /// Makes calls through `stub`.
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
    R: Request + RequestName,
    S: Stub<Req = R, Resp = R::Response> + 'static,
{
    fn call<T: 'static>(
        &self,
        request: R,
        value: Value<R, T>,
    ) -> impl Future<Output = Result<T, RpcError>> + 'static + use<R, S, T> {
        // A call made in a handler belongs to that handler's call, no matter where its future is
        // awaited.
        let enclosing = Context::try_current();
        let stub = Arc::clone(&self.0);
        async move {
            let call = Call::new(&request, enclosing.or_else(Context::try_current));
            match timeout(call.after, stub.call(call.tarpc_context(), request)).await {
                Ok(Ok(response)) => value(response),
                Ok(Err(error)) => Err(call.error(error)),
                Err(_elapsed) => Err(call.timeout()),
            }
        }
    }
}

/// A call through a stub: its timeout, and the names that its errors report.
struct Call {
    service: &'static str,
    method: &'static str,
    after: Duration,
}

impl Call {
    fn new<R: Request>(request: &R, enclosing: Option<Context>) -> Self {
        let method = &R::methods()[request.method()];
        let declared = method.options.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let inherited = enclosing.and_then(|context| context.bound_of_nested_calls());
        let inherited = inherited.unwrap_or(Duration::MAX);
        Call { service: R::SERVICE, method: method.name, after: declared.min(inherited) }
    }

    /// Returns the context that carries the deadline to the peer, so that the peer also cancels the
    /// handler. It does not end the call on this side: tarpc's deadline is on the system clock and
    /// is checked only when tarpc's dispatch task reaches the request.
    fn tarpc_context(&self) -> tarpc::context::Context {
        let mut context = tarpc::context::current();
        context.deadline = std::time::Instant::now() + self.after.min(MAX_TIMEOUT);
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

/// Serves a request that arrived through tarpc, without a node. The handler has a context in this
/// case too.
// Not an `async fn`, because the signature must state that the future is `Send`.
#[allow(clippy::manual_async_fn)]
pub fn serve_tarpc<H: Handler>(
    handler: H,
    context: tarpc::context::Context,
    request: H::Request,
) -> impl Future<Output = Result<<H::Request as Request>::Response, ServerError>> + Send {
    async move {
        let context = handler_context(&context);
        let mut handler = pin!(handler.handle(request));
        Ok(poll_fn(|task| poll_in(&context, handler.as_mut(), task)).await)
    }
}

/// Returns the context of a handler that is called through tarpc, which does not identify the
/// caller. tarpc's deadline is on the system clock, which advances even while tokio's clock is
/// paused, so only the remaining time is taken from it.
fn handler_context(context: &tarpc::context::Context) -> Context {
    let remaining = context.deadline.saturating_duration_since(std::time::Instant::now());
    let unknown = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    Context {
        metadata: None,
        span: None,
        caller: NodeInfo::new(NodeId::new("", 0), Region::from(""), unknown),
        deadline: Instant::now() + remaining.min(MAX_TIMEOUT),
        attempt: 1,
        local: false,
        origin: None,
        detached: false,
        depth: 0,
        host: Host::new(Arc::new(TokioEnv)),
    }
}
