//! How a request reaches its service.

use std::future::Future;

use crate::{error::RpcError, service::Request};

/// Sends the requests of a generated client to its service.
pub trait Caller<R: Request>: Clone + 'static {
    /// Makes the call. Dropping the future cancels it.
    fn call(self, request: R) -> impl Future<Output = Result<R::Response, RpcError>> + 'static;
}
