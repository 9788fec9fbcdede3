//! How a request gets to its service.

use std::future::Future;

use crate::{error::RpcError, service::Request};

/// How a generated client takes a request to its service.
pub trait Caller<R: Request>: Clone + 'static {
    /// Makes the call. Dropping the future cancels it.
    fn call(self, request: R) -> impl Future<Output = Result<R::Response, RpcError>> + 'static;
}
