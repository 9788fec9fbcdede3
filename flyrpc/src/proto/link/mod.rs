//! The state machines of one link, without its socket and its tasks.
//!
//! | value | owns | driven by |
//! |---|---|---|
//! | [`handshake`] | the first bytes of a connection, and what they prove | `runtime::link::handshake` |
//! | [`outbox`], [`batch`] | what is queued for the peer, and the bytes of one write | callers, the writer |
//! | [`sent`] | how much of it the socket has taken | the writer |
//! | [`in_flight`] | calls of this end that wait for responses | callers, the reader |
//! | [`inbound`] | requests of the peer until they are finished | the reader, handlers |
//! | [`assembler`] | bodies that arrive in chunks | the reader |
//! | [`gate`], [`clock`] | complete requests until it is certain that their callers still wait | the reader |
//! | [`liveness`] | silence of the peer | the reader |
//! | [`lifecycle`] | open, draining, ended and why | all of them |
//!
//! Time is a number of microseconds since the link was made, on the clock of this end.

pub(crate) mod assembler;
pub(crate) mod batch;
pub(crate) mod clock;
pub(crate) mod gate;
pub(crate) mod handshake;
pub(crate) mod in_flight;
pub(crate) mod inbound;
pub(crate) mod lifecycle;
pub(crate) mod liveness;
pub(crate) mod outbox;
pub(crate) mod sent;
