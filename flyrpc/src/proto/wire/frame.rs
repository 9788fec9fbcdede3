//! Frames: a varint of the length of the rest, one byte of kind, and what the kind holds.
//!
//! | kind | holds |
//! |---|---|
//! | void | anything: a request that was given up before it was sent |
//! | hello | see [`hello`](super::hello) |
//! | request | id, method number, flags, attempt if flagged, stamp, timeout, fields if flagged, the size of the body if it comes in chunks, else the body |
//! | reply | id, body |
//! | long reply | id, the size of the body, which comes in chunks |
//! | fault | id, a [`Status`](super::status::Fault) |
//! | request chunk, reply chunk | id, the next bytes of the body |
//! | cancel | id |
//! | ping | the sender's stamp |
//! | pong | the stamp of the ping, the sender's stamp |
//! | state | a [`State`](super::hello::State): what the node accepts now |
//! | going away | why: the sender starts no more requests, and asks for none |
//!
//! Numbers are varints. Stamps are microseconds on the sender's clock since its end of the link was
//! made, timeouts microseconds. Kinds from 64 are skipped by readers that do not know them; an
//! unknown kind below 64 ends the link.

use super::ids::{MethodIndex, RequestId};
use crate::codec::bytes::{Malformed, fields, varint};

/// The longest frame: room for the hello of a node with thousands of methods. Bodies come in
/// pieces of at most [`CHUNK`].
pub(crate) const MAX_FRAME: usize = 1 << 20;

/// The most bytes of a body in one of its chunks, between which other frames pass.
pub(crate) const CHUNK: usize = 64 << 10;

/// A body of up to this many bytes is sent whole, in the frame of its request or reply; a longer one
/// in chunks.
pub(crate) const INLINE_BODY_MAX: usize = 16 << 10;

mod kind {
    pub(super) const VOID: u8 = 0;
    pub(super) const HELLO: u8 = 1;
    pub(super) const REQUEST: u8 = 2;
    pub(super) const REPLY: u8 = 3;
    pub(super) const LONG_REPLY: u8 = 4;
    pub(super) const FAULT: u8 = 5;
    pub(super) const REQUEST_CHUNK: u8 = 6;
    pub(super) const REPLY_CHUNK: u8 = 7;
    pub(super) const CANCEL: u8 = 8;
    pub(super) const PING: u8 = 9;
    pub(super) const PONG: u8 = 10;
    pub(super) const STATE: u8 = 11;
    pub(super) const GOING_AWAY: u8 = 12;
    pub(super) const SKIPPABLE: u8 = 64;
}

/// The kind byte that replaces a request's when it is given up before it was sent.
pub(crate) const VOID: u8 = kind::VOID;

mod flag {
    pub(super) const PRIMARY: u64 = 1;
    pub(super) const ATTEMPT: u64 = 2;
    pub(super) const FIELDS: u64 = 4;
    pub(super) const CHUNKED: u64 = 8;
    pub(super) const ALL: u64 = 15;
}

/// A frame, borrowing from the bytes that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// Nothing: to be skipped.
    Void,
    Hello(&'a [u8]),
    Request(RequestHead, Body<'a>),
    Reply {
        id: RequestId,
        body: Body<'a>,
    },
    Status {
        id: RequestId,
        status: &'a [u8],
    },
    Chunk {
        of: Of,
        id: RequestId,
        bytes: &'a [u8],
    },
    Cancel {
        id: RequestId,
    },
    Ping {
        stamp: u64,
    },
    Pong {
        echo: u64,
        stamp: u64,
    },
    State(&'a [u8]),
    GoingAway {
        reason: GoingAway,
    },
}

/// The head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestHead {
    /// Unique among the requests in this direction of the link.
    pub(crate) id: RequestId,
    /// The method's place in the serving node's table.
    pub(crate) method: MethodIndex,
    /// Whether the call was aimed at the primary.
    pub(crate) primary: bool,
    /// Which attempt this is, from 1.
    pub(crate) attempt: u64,
    /// When it was sent, on the caller's clock.
    pub(crate) stamp: u64,
    /// How long after `stamp` it is given up.
    pub(crate) timeout: u64,
}

/// A body, or its announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    Whole(&'a [u8]),
    /// So many bytes follow in chunks.
    Chunked(u64),
}

impl Body<'_> {
    /// How many bytes it has in all.
    pub(crate) fn size(&self) -> u64 {
        match *self {
            Body::Whole(bytes) => bytes.len() as u64,
            Body::Chunked(size) => size,
        }
    }
}

/// Which of the two bodies of a call a chunk belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Request,
    Reply,
}

/// Why a node asks for no more requests on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoingAway {
    /// Another link between the two nodes is used instead.
    Superseded,
    /// The node leaves the cluster.
    Leaving,
}

/// Splits the next frame off `from`: its kind and payload, and the length of all of it. None if it
/// is not complete yet.
pub(crate) fn split(from: &[u8]) -> Result<Option<(&[u8], usize)>, Malformed> {
    let Some((length, head)) = varint::peek(from)? else { return Ok(None) };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length == 0 || length > MAX_FRAME {
        return Err(Malformed::new("frame length"));
    }
    Ok(from.get(head..head + length).map(|frame| (frame, head + length)))
}

/// How many bytes at the beginning of `from` are whole frames; and an error if what follows them can
/// be no frame.
pub(crate) fn whole_frames(from: &[u8]) -> (usize, Result<(), Malformed>) {
    let mut length = 0;
    loop {
        match split(&from[length..]) {
            Ok(Some((_, next))) => length += next,
            Ok(None) => return (length, Ok(())),
            Err(malformed) => return (length, Err(malformed)),
        }
    }
}

/// Reads a frame that [`split`] gave.
pub(crate) fn read(frame: &[u8]) -> Result<Frame<'_>, Malformed> {
    let (&kind, mut rest) = frame.split_first().ok_or(Malformed::new("frame"))?;
    let rest = &mut rest;
    Ok(match kind {
        kind::VOID => Frame::Void,
        kind::HELLO => Frame::Hello(rest),
        kind::REQUEST => read_request(rest)?,
        kind::REPLY => Frame::Reply { id: take_id(rest)?, body: Body::Whole(rest) },
        kind::LONG_REPLY => {
            Frame::Reply { id: take_id(rest)?, body: Body::Chunked(varint::take(rest)?) }
        }
        kind::FAULT => Frame::Status { id: take_id(rest)?, status: rest },
        kind::REQUEST_CHUNK => Frame::Chunk { of: Of::Request, id: take_id(rest)?, bytes: rest },
        kind::REPLY_CHUNK => Frame::Chunk { of: Of::Reply, id: take_id(rest)?, bytes: rest },
        kind::CANCEL => Frame::Cancel { id: take_id(rest)? },
        kind::PING => Frame::Ping { stamp: varint::take(rest)? },
        kind::PONG => Frame::Pong { echo: varint::take(rest)?, stamp: varint::take(rest)? },
        kind::STATE => Frame::State(rest),
        kind::GOING_AWAY => Frame::GoingAway {
            reason: match varint::take(rest)? {
                0 => GoingAway::Superseded,
                _ => GoingAway::Leaving,
            },
        },
        kind::SKIPPABLE.. => Frame::Void,
        _ => return Err(Malformed::new("frame of an unknown kind")),
    })
}

fn take_id(rest: &mut &[u8]) -> Result<RequestId, Malformed> {
    varint::take(rest).map(RequestId)
}

fn read_request<'a>(rest: &mut &'a [u8]) -> Result<Frame<'a>, Malformed> {
    let id = take_id(rest)?;
    let method = MethodIndex(varint::take(rest)?);
    let flags = varint::take(rest)?;
    if flags & !flag::ALL != 0 {
        return Err(Malformed::new("request with unknown flags"));
    }
    let attempt = if flags & flag::ATTEMPT != 0 { varint::take(rest)? } else { 1 };
    let stamp = varint::take(rest)?;
    let timeout = varint::take(rest)?;
    if flags & flag::FIELDS != 0 {
        fields::read(varint::take_prefixed(rest)?, |_, _| Ok(false))?;
    }
    let body = if flags & flag::CHUNKED != 0 {
        Body::Chunked(varint::take(rest)?)
    } else {
        Body::Whole(rest)
    };
    let primary = flags & flag::PRIMARY != 0;
    Ok(Frame::Request(RequestHead { id, method, primary, attempt, stamp, timeout }, body))
}

/// Appends a request; a body in chunks must follow. Returns the place of its kind byte.
pub(crate) fn put_request(head: &RequestHead, body: Body<'_>, to: &mut Vec<u8>) -> usize {
    let mut flags = 0;
    flags |= if head.primary { flag::PRIMARY } else { 0 };
    flags |= if head.attempt != 1 { flag::ATTEMPT } else { 0 };
    flags |= if matches!(body, Body::Chunked(_)) { flag::CHUNKED } else { 0 };
    let attempt = if head.attempt != 1 { varint::len(head.attempt) } else { 0 };
    let numbers = [head.id.0, head.method.0, flags, head.stamp, head.timeout];
    let length = 1 + numbers.iter().map(|&n| varint::len(n)).sum::<usize>() + attempt;
    varint::put((length + body_len(body)) as u64, to);
    let place = to.len();
    to.push(kind::REQUEST);
    varint::put(head.id.0, to);
    varint::put(head.method.0, to);
    varint::put(flags, to);
    if head.attempt != 1 {
        varint::put(head.attempt, to);
    }
    varint::put(head.stamp, to);
    varint::put(head.timeout, to);
    put_body(body, to);
    place
}

/// Appends a reply; a body in chunks must follow.
pub(crate) fn put_reply(id: RequestId, body: Body<'_>, to: &mut Vec<u8>) {
    varint::put((1 + varint::len(id.0) + body_len(body)) as u64, to);
    to.push(match body {
        Body::Whole(_) => kind::REPLY,
        Body::Chunked(_) => kind::LONG_REPLY,
    });
    varint::put(id.0, to);
    put_body(body, to);
}

/// Appends what comes before the next bytes of a body, of which there are [`CHUNK`] at most.
pub(crate) fn put_chunk_head(of: Of, id: RequestId, bytes: usize, to: &mut Vec<u8>) {
    varint::put((1 + varint::len(id.0) + bytes) as u64, to);
    to.push(match of {
        Of::Request => kind::REQUEST_CHUNK,
        Of::Reply => kind::REPLY_CHUNK,
    });
    varint::put(id.0, to);
}

pub(crate) fn put_status(id: RequestId, status: &[u8], to: &mut Vec<u8>) {
    varint::put((1 + varint::len(id.0) + status.len()) as u64, to);
    to.push(kind::FAULT);
    varint::put(id.0, to);
    to.extend_from_slice(status);
}

pub(crate) fn put_cancel(id: RequestId, to: &mut Vec<u8>) {
    put_numbers(kind::CANCEL, &[id.0], to);
}

pub(crate) fn put_ping(stamp: u64, to: &mut Vec<u8>) {
    put_numbers(kind::PING, &[stamp], to);
}

pub(crate) fn put_pong(echo: u64, stamp: u64, to: &mut Vec<u8>) {
    put_numbers(kind::PONG, &[echo, stamp], to);
}

pub(crate) fn put_going_away(reason: GoingAway, to: &mut Vec<u8>) {
    put_numbers(kind::GOING_AWAY, &[u64::from(reason == GoingAway::Leaving)], to);
}

pub(crate) fn put_hello(hello: &[u8], to: &mut Vec<u8>) {
    put_bytes(kind::HELLO, hello, to);
}

pub(crate) fn put_state(state: &[u8], to: &mut Vec<u8>) {
    put_bytes(kind::STATE, state, to);
}

fn put_numbers(kind: u8, numbers: &[u64], to: &mut Vec<u8>) {
    varint::put(1 + numbers.iter().map(|&n| varint::len(n) as u64).sum::<u64>(), to);
    to.push(kind);
    for &number in numbers {
        varint::put(number, to);
    }
}

fn put_bytes(kind: u8, bytes: &[u8], to: &mut Vec<u8>) {
    varint::put(1 + bytes.len() as u64, to);
    to.push(kind);
    to.extend_from_slice(bytes);
}

fn body_len(body: Body<'_>) -> usize {
    match body {
        Body::Whole(bytes) => bytes.len(),
        Body::Chunked(size) => varint::len(size),
    }
}

fn put_body(body: Body<'_>, to: &mut Vec<u8>) {
    match body {
        Body::Whole(bytes) => to.extend_from_slice(bytes),
        Body::Chunked(size) => varint::put(size, to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::bytes::garbage;

    const ID: RequestId = RequestId(7);

    #[track_caller]
    fn check(bytes: &[u8], expected: Frame<'_>) {
        for cut in 0..bytes.len() {
            assert_eq!(split(&bytes[..cut]), Ok(None), "cut after {cut} bytes");
        }
        let (frame, length) = split(bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        assert_eq!(read(frame), Ok(expected));
        // Shorter payloads may be another frame or none, but never a panic.
        for cut in 0..frame.len() {
            let _ = read(&frame[..cut]);
        }
    }

    fn request(primary: bool, attempt: u64) -> RequestHead {
        RequestHead {
            id: RequestId(300),
            method: MethodIndex(2),
            primary,
            attempt,
            stamp: 1 << 33,
            timeout: 5_000_000,
        }
    }

    #[test]
    fn requests_come_back_as_they_were_put() {
        for head in [request(false, 1), request(true, 1), request(true, 3)] {
            for body in [Body::Whole(b"\x80"), Body::Chunked(1 << 20)] {
                let mut bytes = Vec::new();
                let place = put_request(&head, body, &mut bytes);
                assert_eq!(bytes[place], kind::REQUEST);
                check(&bytes, Frame::Request(head, body));
            }
        }
    }

    #[test]
    fn other_frames_come_back_as_they_were_put() {
        type Put = fn(&mut Vec<u8>);
        let frames: [(Put, Frame<'_>); 9] = [
            (
                |to| put_reply(ID, Body::Whole(b"abc"), to),
                Frame::Reply { id: ID, body: Body::Whole(b"abc") },
            ),
            (
                |to| put_reply(ID, Body::Chunked(99_999), to),
                Frame::Reply { id: ID, body: Body::Chunked(99_999) },
            ),
            (
                |to| {
                    put_chunk_head(Of::Reply, ID, 3, to);
                    to.extend(b"abc");
                },
                Frame::Chunk { of: Of::Reply, id: ID, bytes: b"abc" },
            ),
            (|to| put_status(ID, b"abc", to), Frame::Status { id: ID, status: b"abc" }),
            (|to| put_cancel(ID, to), Frame::Cancel { id: ID }),
            (|to| put_ping(1 << 40, to), Frame::Ping { stamp: 1 << 40 }),
            (|to| put_pong(1 << 40, 3, to), Frame::Pong { echo: 1 << 40, stamp: 3 }),
            (|to| put_state(b"abc", to), Frame::State(b"abc")),
            (
                |to| put_going_away(GoingAway::Leaving, to),
                Frame::GoingAway { reason: GoingAway::Leaving },
            ),
        ];
        for (put, expected) in frames {
            let mut bytes = Vec::new();
            put(&mut bytes);
            check(&bytes, expected);
        }
    }

    #[test]
    fn a_frame_claiming_four_gigabytes_is_refused_by_its_length_alone() {
        let mut bytes = Vec::new();
        varint::put(4 << 30, &mut bytes);
        assert_eq!(split(&bytes), Err(Malformed::new("frame length")));
        assert_eq!(split(&[0]), Err(Malformed::new("frame length")));
    }

    #[test]
    fn unknown_kinds_are_skipped_from_64_on_and_refused_below() {
        assert_eq!(read(&[64, 1, 2, 3]), Ok(Frame::Void));
        assert_eq!(read(&[63]), Err(Malformed::new("frame of an unknown kind")));
    }

    #[test]
    fn unknown_request_flags_are_refused() {
        assert!(read(&[kind::REQUEST, 1, 1, 16, 1, 1]).is_err());
    }

    #[test]
    fn garbage_gives_frames_or_errors_and_never_more_bytes_than_there_are() {
        let mut all = Vec::new();
        put_request(&request(true, 3), Body::Whole(b"\x80"), &mut all);
        put_request(&request(false, 1), Body::Chunked(1 << 20), &mut all);
        put_reply(ID, Body::Chunked(99_999), &mut all);
        put_chunk_head(Of::Request, ID, 3, &mut all);
        all.extend(b"abc");
        put_status(ID, b"abc", &mut all);
        put_pong(1 << 40, 3, &mut all);
        put_going_away(GoingAway::Leaving, &mut all);
        // With a field from the future, which a reader may skip.
        all.extend_from_slice(&[
            11,
            kind::REQUEST,
            1,
            1,
            flag::FIELDS as u8,
            1,
            1,
            3,
            200,
            1,
            0,
            9,
        ]);
        garbage::feed(&[all], |mut bytes| {
            while let Ok(Some((frame, length))) = split(bytes) {
                assert!(frame.len() < length && length <= bytes.len());
                let _ = read(frame);
                bytes = &bytes[length..];
            }
            // Also as a frame without a length.
            let _ = read(bytes);
        });
    }

    #[test]
    fn a_small_request_and_its_reply_take_few_bytes() {
        // Twenty minutes into the life of a link, 30,000 calls in, five seconds allowed.
        let head = RequestHead {
            id: RequestId(30_000),
            method: MethodIndex(3),
            primary: false,
            attempt: 1,
            stamp: 1_200_000_000,
            timeout: 5_000_000,
        };
        let mut bytes = Vec::new();
        put_request(&head, Body::Whole(b"\x81\xa4text\xa3fly"), &mut bytes);
        put_reply(RequestId(30_000), Body::Whole(b"\xa3FLY"), &mut bytes);
        assert_eq!(bytes.len(), 35);
    }
}
