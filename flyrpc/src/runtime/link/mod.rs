//! One connection to one node, which carries all services both ways.
//!
//! [`dial`] and [`accept`] make a connection into two ends that know each other, [`start`] makes it a
//! link. [`Link`] is what the rest of the node holds of it; two tasks serve it: the reader takes frames in
//! and starts requests, the writer empties the outbox. They drive the state machines of
//! [`proto::link`](crate::proto::link), which decide. What runs the requests is behind
//! [`RequestHandler`].

mod call;
mod compat_cache;
mod event;
mod handle;
mod handshake;
mod reader;
mod replies;
mod request;
mod start;
mod transport;
mod writer;

pub(crate) use self::{
    call::{Lost, OutboundCall, PendingCall},
    event::LinkEvent,
    handle::{INTERNAL_BODY_MAX, Link},
    handshake::{Handshaken, accept, dial},
    request::{Admitted, Flush, InboundRequest, RequestHandler, ResponseResult},
    start::{LinkParams, start},
};
pub(crate) use crate::proto::link::{
    handshake::{DialError, LocalHello},
    in_flight::Response,
    lifecycle::LinkError,
};
