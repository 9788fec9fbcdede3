//! The tasks, sockets and locks that drive the state machines of `proto`.

pub(crate) mod builder;
mod check_runtime;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod context;
pub(crate) mod events;
pub(crate) mod link;
pub(crate) mod node;
pub(crate) mod operations;
pub mod private;
pub(crate) mod server;
pub(crate) mod shared;
mod signals;
#[cfg(feature = "tarpc")]
pub(crate) mod tarpc;
pub(crate) mod task;
pub(crate) mod visitor;
