//! The definition of a service: the traits that `#[fly_rpc]` implements, and the descriptions of methods.
//!
//! Nothing in this module depends on which nodes exist or how they are linked. The server runs a
//! [`Service`], and the client encodes a [`Request`]. Both use the same [`Method`] table.
//! [`caller_trait`] describes a trait to routing.

pub(crate) mod bounds;
mod handler;
pub(crate) mod messages;
mod method;

pub(crate) use self::{
    handler::{
        EncodeResponse, EncodedHandler, EncodedResponse, INTERNAL_SERVICE, LocalHandler,
        ServiceKind,
    },
    method::{IsErr, caller_trait},
};
pub use self::{
    handler::{Handler, Service},
    method::{Hedge, Method, MethodOptions, Request},
};
