//! Decodes frames.

use bytes::BytesMut;

use super::kinds::{Body, BodyOf, Frame, GoAway, MAX_FRAME, RequestHead, flag, kind};
use crate::{
    codec::bytes::{Malformed, varint},
    proto::wire::ids::{MethodIndex, RequestId},
};

/// The bytes after the frames that [`complete`] has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// They are empty or the start of a frame.
    Incomplete,
    /// They were not examined.
    Unexamined,
}

/// Returns the number of leading bytes of `from` that are complete frames, up to `max_frames` frames. Also
/// describes the remaining bytes, or returns an error if they cannot be the start of a frame.
#[inline]
pub(crate) fn complete(from: &[u8], max_frames: usize) -> (usize, Result<Rest, Malformed>) {
    let mut complete = 0;
    for _ in 0..max_frames {
        match split(&from[complete..]) {
            Ok(Some((_, length))) => complete += length,
            Ok(None) => return (complete, Ok(Rest::Incomplete)),
            Err(malformed) => return (complete, Err(malformed)),
        }
    }
    (complete, Ok(Rest::Unexamined))
}

/// Splits the first frame off `from`. Returns its kind and payload, and the length of the whole frame,
/// length prefix included. Returns `None` if the frame is not complete yet.
#[inline]
pub(crate) fn split(from: &[u8]) -> Result<Option<(&[u8], usize)>, Malformed> {
    let Some((length, head)) = varint::peek(from)? else { return Ok(None) };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length == 0 || length > MAX_FRAME {
        return Err(Malformed::new("frame length"));
    }
    Ok(from.get(head..head + length).map(|frame| (frame, head + length)))
}

/// Removes the first frame from `from`. Returns its kind and payload, or `None` if it is not complete yet.
pub(crate) fn take(from: &mut BytesMut) -> Result<Option<BytesMut>, Malformed> {
    let Some((frame, length)) = split(from)? else { return Ok(None) };
    let prefix = length - frame.len();
    Ok(Some(from.split_to(length).split_off(prefix)))
}

/// The start of a chunk that is not complete yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkStart {
    pub(crate) of: BodyOf,
    pub(crate) id: RequestId,
    /// The number of bytes before the content of the chunk.
    pub(crate) head: usize,
    /// The number of bytes of the content.
    pub(crate) content: usize,
}

/// Decodes the head of a chunk that begins `from`. Returns `None` if that is another frame, or the head is not
/// complete. `from` must be the start of a frame that [`split`] does not refuse.
pub(crate) fn chunk_start(from: &[u8]) -> Option<ChunkStart> {
    let (length, prefix) = varint::peek(from).ok()??;
    let (&kind, mut rest) = from.get(prefix..)?.split_first()?;
    let of = match kind {
        kind::REQUEST_CHUNK => BodyOf::Request,
        kind::REPLY_CHUNK => BodyOf::Reply,
        _ => return None,
    };
    let id = take_id(&mut rest).ok()?;
    let head = from.len() - rest.len();
    let content = (prefix + usize::try_from(length).ok()?).checked_sub(head)?;
    Some(ChunkStart { of, id, head, content })
}

/// Decodes a frame that [`split`] returned.
#[inline(always)]
pub(crate) fn decode(frame: &[u8]) -> Result<Frame<'_>, Malformed> {
    let (&kind, mut rest) = frame.split_first().ok_or(Malformed::new("frame"))?;
    let rest = &mut rest;
    Ok(match kind {
        kind::VOID => Frame::Void,
        kind::HELLO => Frame::Hello(rest),
        kind::REQUEST => decode_request(rest)?,
        kind::REPLY => Frame::Reply { id: take_id(rest)?, body: Body::Whole(rest) },
        kind::CHUNKED_REPLY => {
            Frame::Reply { id: take_id(rest)?, body: Body::Chunked(varint::take(rest)?) }
        }
        kind::STATUS => Frame::Status { id: take_id(rest)?, status: rest },
        kind::REQUEST_CHUNK => {
            Frame::Chunk { of: BodyOf::Request, id: take_id(rest)?, bytes: rest }
        }
        kind::REPLY_CHUNK => Frame::Chunk { of: BodyOf::Reply, id: take_id(rest)?, bytes: rest },
        kind::CANCEL => Frame::Cancel { id: take_id(rest)? },
        // Older nodes do not send the second number.
        kind::PING => Frame::Ping { stamp: varint::take(rest)?, received: varint::take(rest).ok() },
        kind::PONG => Frame::Pong {
            echo: varint::take(rest)?,
            stamp: varint::take(rest)?,
            in_flight: varint::take(rest).ok(),
        },
        kind::STATE => Frame::State(rest),
        kind::GO_AWAY => Frame::GoAway {
            reason: match varint::take(rest)? {
                0 => GoAway::Replaced,
                _ => GoAway::Leaving,
            },
        },
        kind::SEAL => Frame::Seal(rest),
        kind::UNSEALED => Frame::Unsealed(rest),
        kind::SKIPPABLE.. => Frame::Void,
        _ => return Err(Malformed::new("frame of an unknown kind")),
    })
}

#[inline]
fn take_id(rest: &mut &[u8]) -> Result<RequestId, Malformed> {
    varint::take(rest).map(RequestId)
}

#[inline(always)]
fn decode_request<'a>(rest: &mut &'a [u8]) -> Result<Frame<'a>, Malformed> {
    let id = take_id(rest)?;
    let method = MethodIndex(varint::take(rest)?);
    let flags = varint::take(rest)?;
    if flags & !flag::ALL != 0 {
        return Err(Malformed::new("request with unknown flags"));
    }
    let attempt = if flags & flag::ATTEMPT != 0 { varint::take(rest)? } else { 1 };
    let stamp = varint::take(rest)?;
    let timeout = varint::take(rest)?;
    let fields = if flags & flag::FIELDS != 0 { varint::take_prefixed(rest)? } else { &[] };
    let body = if flags & flag::CHUNKED != 0 {
        Body::Chunked(varint::take(rest)?)
    } else {
        Body::Whole(rest)
    };
    let primary = flags & flag::PRIMARY != 0;
    let head = RequestHead { id, method, primary, attempt, stamp, timeout };
    Ok(Frame::Request(head, fields, body))
}
