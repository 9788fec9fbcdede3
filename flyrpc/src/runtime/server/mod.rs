//! The serving side of a call: which services this node has, and the life of a request from its
//! admission to its response. Calls that run in the process of their caller use `handler_future`
//! too.

mod admission;
mod executor;
mod handler;
mod handler_future;
mod inline_policy;
mod registry;
mod serving;

pub(crate) use self::{
    admission::Limits,
    handler_future::{Ended, HandlerFuture, RequestFuture, Until, catch_panic},
    inline_policy::INLINE_AFTER,
    serving::Server,
};
