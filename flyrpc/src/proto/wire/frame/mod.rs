//! Frames, the unit of a link. A frame consists of the length of the rest as a varint, one byte that
//! identifies the kind, and the payload of that kind.
//!
//! | kind | payload |
//! |---|---|
//! | void | any bytes: replaces a request that was given up before it was sent |
//! | hello | see [`hello`](super::hello) |
//! | request | id, method index, flags, attempt if flagged, stamp, timeout, fields if flagged, then the body, or its size if it follows in chunks |
//! | reply | id, body |
//! | chunked reply | id, the size of the body, which follows in chunks |
//! | status | id, a [`Status`](super::status::Status) |
//! | request chunk, reply chunk | id, the next bytes of the body |
//! | cancel | id |
//! | ping | the sender's stamp, the bytes that it has received (ignored by older nodes, which do not send it) |
//! | pong | the stamp of the ping, the sender's stamp, the number of requests in flight at the sender (ignored by older nodes, which do not send it) |
//! | state | a [`State`](super::state::State): which calls the node accepts now |
//! | go away | the reason; the sender starts no more requests and accepts no new ones |
//! | seal | see [`seal`](super::seal); instead of the hello, on a sealed link |
//! | unsealed | see [`seal`](super::seal); why a seal or a hello is not accepted |
//!
//! Numbers are varints. A stamp is the time in microseconds since the sender's end of the link was
//! created, on the sender's clock. A timeout is in microseconds. Readers skip unknown kinds from 64 on;
//! an unknown kind below 64 ends the link.

mod decode;
mod encode;
mod kinds;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    decode::{ChunkStart, Rest, chunk_start, complete, decode, split, take},
    encode::{
        VOID, put_cancel, put_chunk_head, put_go_away, put_hello, put_ping, put_pong, put_reply,
        put_request, put_seal, put_state, put_status, put_unsealed,
    },
    kinds::{Body, BodyOf, CHUNK, Frame, GoAway, INLINE_BODY_MAX, MAX_FRAME, RequestHead},
};
