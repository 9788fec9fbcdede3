//! The client's side of a call.
//!
//! A generated method makes a request and hands it to [`Routed`], which [`make`] decides on: it runs
//! here ([`local`]) or goes to other nodes ([`remote`], one [`attempt`] at a time). Below, a call
//! carries a small failure; [`error_exit`] is where the user's error is built from it.

mod arguments;
mod attempt;
mod call;
mod caller;
mod error_exit;
mod generated;
mod local;
mod make;
mod record;
mod remote;
mod response;
mod routed;
mod selector;

pub use self::{caller::Caller, generated::Client, routed::Routed};
