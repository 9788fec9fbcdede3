//! The kinds of frames and their contents.

use crate::proto::wire::ids::{MethodIndex, RequestId};

/// Upper bound on the bytes of a frame: enough for the hello of a node with thousands of methods.
/// Long bodies are sent in chunks of at most [`CHUNK`] bytes.
pub(crate) const MAX_FRAME: usize = 1 << 20;

/// Upper bound on the bytes of a body in one chunk. Other frames can be sent between chunks.
pub(crate) const CHUNK: usize = 64 << 10;

/// Upper bound on the bytes of a body that is sent in the frame of its request or reply. A longer body
/// is sent in chunks.
pub(crate) const INLINE_BODY_MAX: usize = 16 << 10;

/// The bytes that identify the kinds of frames.
pub(super) mod kind {
    pub(crate) const VOID: u8 = 0;
    pub(crate) const HELLO: u8 = 1;
    pub(crate) const REQUEST: u8 = 2;
    pub(crate) const REPLY: u8 = 3;
    pub(crate) const CHUNKED_REPLY: u8 = 4;
    pub(crate) const STATUS: u8 = 5;
    pub(crate) const REQUEST_CHUNK: u8 = 6;
    pub(crate) const REPLY_CHUNK: u8 = 7;
    pub(crate) const CANCEL: u8 = 8;
    pub(crate) const PING: u8 = 9;
    pub(crate) const PONG: u8 = 10;
    pub(crate) const STATE: u8 = 11;
    pub(crate) const GO_AWAY: u8 = 12;
    pub(crate) const SEAL: u8 = 13;
    pub(crate) const UNSEALED: u8 = 14;
    /// Readers skip unknown kinds from this one on; an unknown kind below it ends the link.
    pub(crate) const SKIPPABLE: u8 = 64;
}

/// The flags of a request.
pub(super) mod flag {
    pub(crate) const PRIMARY: u64 = 1;
    pub(crate) const ATTEMPT: u64 = 2;
    pub(crate) const FIELDS: u64 = 4;
    pub(crate) const CHUNKED: u64 = 8;
    pub(crate) const ALL: u64 = 15;
}

/// A decoded frame, which borrows from the encoded bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A frame to skip.
    Void,
    Hello(&'a [u8]),
    /// A request with its encoded [fields](crate::proto::wire::request_fields).
    Request(RequestHead, &'a [u8], Body<'a>),
    Reply {
        id: RequestId,
        body: Body<'a>,
    },
    Status {
        id: RequestId,
        status: &'a [u8],
    },
    Chunk {
        of: BodyOf,
        id: RequestId,
        bytes: &'a [u8],
    },
    Cancel {
        id: RequestId,
    },
    Ping {
        stamp: u64,
        /// The number of bytes that the sender has received on this link, if the sender reports it.
        received: Option<u64>,
    },
    Pong {
        echo: u64,
        stamp: u64,
        /// The number of requests in flight at the sender, from all nodes, if the sender reports it.
        in_flight: Option<u64>,
    },
    State(&'a [u8]),
    GoAway {
        reason: GoAway,
    },
    /// A [`Seal`](crate::proto::wire::seal::Seal).
    Seal(&'a [u8]),
    /// An [`Unsealed`](crate::proto::wire::seal::Unsealed).
    Unsealed(&'a [u8]),
}

/// A request without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestHead {
    pub(crate) id: RequestId,
    pub(crate) method: MethodIndex,
    /// Whether the target of the call is the primary.
    pub(crate) primary: bool,
    /// The number of this attempt of the call, from 1.
    pub(crate) attempt: u64,
    /// When the request was sent, in microseconds on the caller's clock.
    pub(crate) stamp: u64,
    /// How long after `stamp` the caller gives up, in microseconds.
    pub(crate) timeout: u64,
}

/// A body, or the announcement of a body in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    Whole(&'a [u8]),
    /// This many bytes follow in chunks.
    Chunked(u64),
}

impl Body<'_> {
    /// The size of the whole body in bytes.
    pub(crate) fn size(&self) -> u64 {
        match *self {
            Body::Whole(bytes) => bytes.len() as u64,
            Body::Chunked(size) => size,
        }
    }
}

/// Whether a chunk belongs to the body of the request or to that of the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyOf {
    Request,
    Reply,
}

/// Why a node accepts no more requests on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoAway {
    /// Another link between the two nodes replaces this one.
    Replaced,
    /// The node is leaving the cluster.
    Leaving,
}
