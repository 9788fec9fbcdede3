//! How a request reaches its service.

use std::future::Future;

use crate::{error::RpcError, service::Request};

/// Extracts a value from a response. It is a function pointer, so that methods with one return type share
/// one future type.
pub(crate) type Value<R, T> = fn(<R as Request>::Response) -> Result<T, RpcError>;

/// Sends the requests of a generated client to its service.
pub trait Caller<R: Request>: Clone + 'static {
    /// Makes the call. The result is `value` of the response. Dropping the future cancels the call.
    fn call<T: 'static>(
        &self,
        request: R,
        value: Value<R, T>,
    ) -> impl Future<Output = Result<T, RpcError>> + 'static + use<Self, R, T>;
}
