//! The serving side of a call: the services of this node, and the life of a request from its
//! admission to its response. Calls that run in their caller's process also use `handler_future`.

mod admission;
mod authorize;
mod budget;
mod executor;
mod handler;
mod handler_future;
mod handler_time;
mod inline_policy;
mod memory;
mod method_limit;
mod recorder;
mod refusals;
mod registry;
mod rest;
mod serve_report;
mod serving;
mod visitor_handler;
mod watch;
mod workers;

pub use self::authorize::Admission;
pub(crate) use self::{
    admission::Limits,
    authorize::Authorizer,
    handler_future::{Ended, HandlerFuture, RequestFuture, Until, catch_panic},
    inline_policy::INLINE_AFTER,
    method_limit::MethodPermit,
    serve_report::{LocalReport, ServeReporter, typed_outcome},
    serving::{Server, ServerStats},
    visitor_handler::VisitorHandler,
    watch::Recorded,
};
