//! The serving side of a call.

use std::future::Future;

use crate::service::Handler;

/// Serves a request that came through plain tarpc.
pub fn serve_tarpc<H: Handler>(
    handler: H,
    context: tarpc::context::Context,
    request: H::Request,
) -> impl Future<Output = Result<<H::Request as crate::service::Request>::Response, tarpc::ServerError>>
+ Send {
    async move { Ok(handler.handle(request).await) }
}
