//! The traits that handle requests: with typed values for local calls, with encoded bodies for remote
//! calls.

use std::{any::Any, future::Future, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio_util::sync::ReusableBoxFuture;

use super::method::Request;
use crate::{
    codec::{ArgsReader, EncodedBody, scratch},
    error::BodyError,
    proto::wire::frame::INLINE_BODY_MAX,
    types::ServiceSpec,
};

/// The name of the internal service, which every node serves to the others.
pub(crate) const INTERNAL_SERVICE: &str = "flyrpc";

/// The kind of a service. Calls of the two kinds have different limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServiceKind {
    /// The internal service, which nodes call on each other.
    Internal,
    User,
}

impl ServiceKind {
    /// The kind of the service with this wire name.
    pub(crate) fn of(name: &str) -> Self {
        if name == INTERNAL_SERVICE { ServiceKind::Internal } else { ServiceKind::User }
    }
}

/// Handles requests. Implemented by the generated `Serve…` types.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The service's request.
    type Request: Request;

    /// Handles one request.
    fn handle(
        &self,
        request: Self::Request,
    ) -> impl Future<Output = <Self::Request as Request>::Response> + Send + 'static;
}

/// A service that a node can serve. Every generated `Serve…` type is a service.
///
/// It cannot be implemented by hand; write a trait with [`#[fly_rpc]`](crate::fly_rpc).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    label = "not a `Serve…` type",
    note = "wrap the implementation of a `#[fly_rpc]` trait in the type that the macro generates: \
            for a trait `Strings`, `.serve(ServeStrings::new(implementation))`"
)]
pub trait Service: sealed::Sealed + Send + Sync + 'static {
    /// Returns the description that peers receive.
    #[doc(hidden)]
    fn spec(&self) -> ServiceSpec;

    /// Decodes the arguments of the method at index `method`, and stores the future that executes it and
    /// encodes its response in `future`. If this returns an error, nothing has executed.
    #[doc(hidden)]
    fn start(
        &self,
        method: usize,
        arguments: &Bytes,
        future: &mut EncodedHandler,
    ) -> Result<(), BodyError>;

    /// Returns an `Arc<dyn LocalHandler<R>>`, for calls from this process, which need no encoding.
    #[doc(hidden)]
    fn local(&self) -> Box<dyn Any + Send + Sync>;

    /// Returns how many calls of the method at index `method` may be in progress at a time, if that is limited.
    #[doc(hidden)]
    fn max_in_flight(&self, method: usize) -> Option<u32>;

    /// Returns whether the method at index `method` returns a `Result`.
    #[doc(hidden)]
    fn returns_result(&self, method: usize) -> bool;

    /// Returns the names of the service and of the method at index `method`, as `service/method`.
    #[doc(hidden)]
    fn rpc_method(&self, method: usize) -> &'static str;

    /// Returns the name of the implementing type, for errors.
    #[doc(hidden)]
    fn type_name(&self) -> &'static str;
}

/// Executes a handler, and encodes its response. All handlers of a service have futures of one type, so
/// the next one needs no allocation.
pub(crate) type EncodedHandler = ReusableBoxFuture<'static, Result<EncodedResponse, BodyError>>;

/// The encoded response of a handler.
#[doc(hidden)]
#[allow(missing_debug_implementations, reason = "a closure has no readable form")]
pub struct EncodedResponse {
    pub(crate) body: EncodedBody,
    /// Encodes the response again. Present if the body is long.
    pub(crate) encode_again: Option<EncodeResponse>,
}

/// Encodes a response that it owns.
pub(crate) type EncodeResponse = Box<dyn FnOnce() -> Result<EncodedBody, BodyError> + Send>;

impl EncodedResponse {
    #[inline]
    fn new<T: Send + 'static>(
        response: T,
        encode: fn(&T, &mut EncodedBody) -> Result<(), BodyError>,
    ) -> Result<Self, BodyError> {
        let mut body = scratch::take();
        encode(&response, &mut body)?;
        if body.len() <= INLINE_BODY_MAX {
            return Ok(EncodedResponse { body, encode_again: None });
        }
        let again = move || {
            let mut body = EncodedBody::new();
            encode(&response, &mut body)?;
            Ok(body)
        };
        Ok(EncodedResponse { body, encode_again: Some(Box::new(again)) })
    }
}

mod sealed {
    pub trait Sealed {}
    impl<H: super::Handler> Sealed for H {}
}

impl<H: Handler> Service for H {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::of::<H::Request>()
    }

    fn start(
        &self,
        method: usize,
        arguments: &Bytes,
        future: &mut EncodedHandler,
    ) -> Result<(), BodyError> {
        let method = &H::Request::methods()[method];
        let mut arguments = ArgsReader::parse_shared(arguments, method.arguments)?;
        let handler = self.handle((method.decode)(&mut arguments)?);
        future.set(async move {
            let response = handler.await;
            EncodedResponse::new(response, |response, to| H::Request::encode_response(response, to))
        });
        Ok(())
    }

    fn local(&self) -> Box<dyn Any + Send + Sync> {
        let handler: Arc<dyn LocalHandler<H::Request>> = Arc::new(self.clone());
        Box::new(handler)
    }

    fn max_in_flight(&self, method: usize) -> Option<u32> {
        H::Request::methods()[method].options.max_in_flight
    }

    fn returns_result(&self, method: usize) -> bool {
        H::Request::methods()[method].returns_result
    }

    fn rpc_method(&self, method: usize) -> &'static str {
        H::Request::methods()[method].rpc_method
    }

    fn type_name(&self) -> &'static str {
        std::any::type_name::<H>()
    }
}

/// Handles requests of a known type, with the implementation erased.
pub(crate) trait LocalHandler<R: Request>: Send + Sync {
    fn call(&self, request: R) -> BoxFuture<'static, R::Response>;
}

impl<H: Handler> LocalHandler<H::Request> for H {
    fn call(&self, request: H::Request) -> BoxFuture<'static, <H::Request as Request>::Response> {
        Box::pin(self.handle(request))
    }
}
