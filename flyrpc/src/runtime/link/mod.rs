//! A link: one connection to one node, which carries the calls of all services in both directions.
//!
//! [`dial`] and [`accept`] perform the handshake on a connection, and [`start`] turns the
//! connection into a link. The rest of the node holds a [`Link`]. Two tasks serve it: the reader
//! decodes frames and starts requests, and the writer empties the outbox. They drive the state
//! machines of [`proto::link`](crate::proto::link), which make the decisions. Requests run behind
//! the trait [`RequestHandler`].

mod buffers;
mod call;
mod compat_cache;
mod deadlines;
mod endpoint;
mod event;
mod expiry;
mod handle;
mod handshake;
mod handshake_records;
mod handshaken;
mod medians;
mod node_health;
mod outcome;
mod outcomes;
mod peer;
mod pick_fields;
mod reader;
mod region_calls;
mod replies;
mod request;
mod room_wait;
mod start;
mod transport;
mod writer;

pub(crate) use self::{
    call::{CallEnd, OutboundCall, PendingCall},
    event::LinkEvent,
    handle::{EventSink, INTERNAL_BODY_MAX, Link},
    handshake::{MAX_LONG_HELLOS, accept, dial},
    handshaken::{Handshaken, VISITOR_REGION},
    peer::Origin,
    region_calls::RegionCalls,
    request::{
        Admitted, EncodeAgain, Flush, InboundRequest, Outgoing, Reply, RequestHandler,
        RequestPermit, ResponseResult,
    },
    start::{LinkParams, start},
};
pub(crate) use crate::proto::link::{
    handshake::{DialError, LocalHello},
    in_flight::Response,
    lifecycle::LinkError,
};
