//! The state machines of one link, without its socket and its tasks.
//!
//! | value | owns | driven by |
//! |---|---|---|
//! | [`handshake`] | the first bytes of a connection, and their validation | `runtime::link::handshake` |
//! | [`outbox`], [`bodies`], [`batch`] | the frames and long bodies queued for the peer, and the bytes of one write | callers, the writer |
//! | [`room`] | the tasks that wait for room in the outbox | callers, the writer |
//! | [`pace`] | how fast the peer takes bytes, and how much to write ahead of that | the writer |
//! | [`sent`] | how many bytes of frames the socket has accepted | the writer |
//! | [`in_flight`] | this end's calls that wait for responses | callers, the reader |
//! | [`inbound`] | the peer's requests until they are finished | the reader, handlers |
//! | [`id_map`] | a map from the ids of requests, which the previous two use | |
//! | [`assembler`] | bodies that arrive in chunks | the reader |
//! | [`pings`] | the pings that the peer has not answered | the reader |
//! | [`gate`], [`clock`] | complete requests, until it is certain that their callers still wait | the reader |
//! | [`liveness`] | the count of heartbeats since the peer last sent anything | the reader |
//! | [`lifecycle`] | whether the link is open, draining or ended, and why it ended | all of them |
//!
//! Times are in microseconds since this end of the link was created, on the clock of this end.

pub(crate) mod assembler;
pub(crate) mod batch;
pub(crate) mod bodies;
pub(crate) mod clock;
pub(crate) mod gate;
pub(crate) mod handshake;
pub(crate) mod id_map;
pub(crate) mod in_flight;
pub(crate) mod inbound;
pub(crate) mod lifecycle;
pub(crate) mod liveness;
pub(crate) mod outbox;
pub(crate) mod pace;
pub(crate) mod pings;
pub(crate) mod room;
pub(crate) mod sent;
