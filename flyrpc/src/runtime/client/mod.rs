//! The client's side of a call.
//!
//! A generated method passes its request to a [`Caller`]. The caller [`Routed`] returns a
//! [`CallFuture`](future::CallFuture), which runs the call on this node ([`local`]) or on another node.
//! It continues in [`make`] unless the first attempt succeeds, and [`remote`] makes one [`attempt`]
//! after another. Inside these modules, a failed call carries a small failure value; [`error_exit`] builds
//! the user's error from it. [`Replies`] makes calls on many nodes.

mod arguments;
mod attempt;
mod call;
mod caller;
mod each_call;
mod error_exit;
mod first_report;
mod future;
mod generated;
mod local;
mod make;
mod outside;
mod pending;
mod record;
mod remote;
mod remote_call;
mod replies;
mod response;
mod routed;
mod selector;

pub(super) use self::outside::runtime_to_enter;
pub(crate) use self::{
    arguments::{BodyLimit, encode},
    response::status_failure,
};
#[cfg(feature = "tarpc")]
pub(crate) use self::{call::DEFAULT_TIMEOUT, caller::Value};
pub use self::{
    caller::Caller, error_exit::wrong_response, generated::Client, replies::Replies, routed::Routed,
};
