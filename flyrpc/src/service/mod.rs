//! What a service is: the traits that `#[fly_rpc]` implements, and what they declare of its methods.
//!
//! Nothing here knows which nodes exist or how they are linked; [`caller_trait`] describes a trait to
//! routing. The server runs a [`Service`], the client encodes a
//! [`Request`]; both use the same [`Method`] table.

pub(crate) mod bounds;
mod handler;
mod method;

pub use self::{
    handler::{Handler, Service},
    method::{Method, MethodOptions, Request},
};
pub(crate) use self::{
    handler::{INTERNAL_SERVICE, LocalHandler, ServiceKind},
    method::caller_trait,
};
