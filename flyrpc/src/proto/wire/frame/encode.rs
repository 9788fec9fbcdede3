//! Encodes frames: each function appends one to a buffer.

use super::kinds::{Body, BodyOf, GoAway, RequestHead, flag, kind};
use crate::{codec::bytes::varint, proto::wire::ids::RequestId};

/// The kind of a void frame. It overwrites the kind byte of a request that is given up before it was
/// sent.
pub(crate) const VOID: u8 = kind::VOID;

/// Upper bound on the head of a short response, including the bytes after it that are written and then truncated.
const RESPONSE_HEAD: usize = 16;

/// Appends a request with its encoded fields; the chunks of a chunked body must follow. Returns the offset of its
/// kind byte.
pub(crate) fn put_request(
    head: &RequestHead,
    fields: &[u8],
    body: Body<'_>,
    to: &mut Vec<u8>,
) -> usize {
    if fields.is_empty()
        && let Body::Whole(body) = body
        && let Some(kind_at) = put_short_request(head, body, to)
    {
        return kind_at;
    }
    let mut flags = 0;
    flags |= if head.primary { flag::PRIMARY } else { 0 };
    flags |= if head.attempt != 1 { flag::ATTEMPT } else { 0 };
    flags |= if fields.is_empty() { 0 } else { flag::FIELDS };
    flags |= if matches!(body, Body::Chunked(_)) { flag::CHUNKED } else { 0 };
    // Encoded before the length prefix, which depends on their length.
    let mut numbers = [0; 7 * varint::MAX_LEN];
    let mut length = 0;
    let mut put = |number| length += varint::write(number, &mut numbers[length..]);
    put(head.id.0);
    put(head.method.0);
    put(flags);
    if head.attempt != 1 {
        put(head.attempt);
    }
    put(head.stamp);
    put(head.timeout);
    if !fields.is_empty() {
        put(fields.len() as u64);
    }
    varint::put((1 + length + fields.len() + body_len(body)) as u64, to);
    let kind_at = to.len();
    to.push(kind::REQUEST);
    to.extend_from_slice(&numbers[..length]);
    if !fields.is_empty() {
        to.extend_from_slice(fields);
    }
    put_body(body, to);
    kind_at
}

/// Appends a request like most: short, a first attempt, and of one of the first methods. This takes fewer instructions
/// than writing one number after the other. Returns the offset of its kind byte, or `None` if the request is not
/// like that.
#[inline]
fn put_short_request(head: &RequestHead, body: &[u8], to: &mut Vec<u8>) -> Option<usize> {
    /// Ids of up to 6 bytes, so that a word contains the id, the method and the flags.
    const IDS: u64 = 1 << 42;
    /// Room for the length, the kind and three words, and more than that, so that no bounds are checked.
    const MAX: usize = 40;
    let &RequestHead { id, method, primary, attempt, stamp, timeout } = head;
    let is_usual = attempt == 1 && id.0 < IDS && method.0 < 0x80;
    if !is_usual || (stamp | timeout) >= varint::WORD_VALUES {
        return None;
    }
    let (id, id_length) = varint::in_word(id.0);
    let (stamp, stamp_length) = varint::in_word(stamp);
    let (timeout, timeout_length) = varint::in_word(timeout);
    let flags = if primary { flag::PRIMARY } else { 0 };
    let first = id | (method.0 | flags << 8) << (8 * id_length);
    // The masks change nothing. They show that the words are inside of the array.
    let stamp_at = (4 + id_length) & 0xf;
    let timeout_at = (stamp_at + stamp_length) & 0x1f;
    let end = timeout_at + timeout_length;
    let total = end - 1 + body.len();
    if total >= 0x80 {
        return None;
    }
    let mut bytes = [0; MAX];
    bytes[..2].copy_from_slice(&[total as u8, kind::REQUEST]);
    put_word(first, &mut bytes, 2);
    put_word(stamp, &mut bytes, stamp_at);
    put_word(timeout, &mut bytes, timeout_at);
    // Once for both parts.
    to.reserve(MAX + body.len());
    let start = to.len();
    to.extend_from_slice(&bytes);
    to.truncate(start + end);
    to.extend_from_slice(body);
    Some(start + 1)
}

#[inline(always)]
fn put_word(word: u64, to: &mut [u8], at: usize) {
    to[at..][..size_of::<u64>()].copy_from_slice(&word.to_le_bytes());
}

/// Appends a reply; the chunks of a chunked body must follow.
#[inline(always)]
pub(crate) fn put_reply(id: RequestId, body: Body<'_>, to: &mut Vec<u8>) {
    let kind = match body {
        Body::Whole(_) => kind::REPLY,
        Body::Chunked(_) => kind::CHUNKED_REPLY,
    };
    put_response_head(kind, id, body_len(body), to);
    put_body(body, to);
}

/// Appends the start of a frame of this kind, in which `length` bytes follow the id.
#[inline(always)]
fn put_response_head(kind: u8, id: RequestId, length: usize, to: &mut Vec<u8>) {
    let total = 1 + varint::len(id.0) + length;
    if total < 0x80 && id.0 < varint::WORD_VALUES >> 16 {
        // The head of most replies, as one number, which takes fewer instructions.
        let (id, id_length) = varint::in_word(id.0);
        let head = (id << 16) | (u64::from(kind) << 8) | total as u64;
        let end = to.len() + 2 + id_length;
        to.extend_from_slice(&head.to_le_bytes());
        to.truncate(end);
        return;
    }
    varint::put(total as u64, to);
    to.push(kind);
    varint::put(id.0, to);
}

/// Appends the header of a chunk. The caller must then append `bytes` bytes of body, at most
/// [`CHUNK`](super::CHUNK).
pub(crate) fn put_chunk_head(of: BodyOf, id: RequestId, bytes: usize, to: &mut Vec<u8>) {
    varint::put((1 + varint::len(id.0) + bytes) as u64, to);
    to.push(match of {
        BodyOf::Request => kind::REQUEST_CHUNK,
        BodyOf::Reply => kind::REPLY_CHUNK,
    });
    varint::put(id.0, to);
}

#[inline(always)]
pub(crate) fn put_status(id: RequestId, status: &[u8], to: &mut Vec<u8>) {
    // Once for both parts.
    to.reserve(RESPONSE_HEAD + status.len());
    put_response_head(kind::STATUS, id, status.len(), to);
    to.extend_from_slice(status);
}

pub(crate) fn put_cancel(id: RequestId, to: &mut Vec<u8>) {
    put_numbers(kind::CANCEL, &[id.0], to);
}

/// Appends a ping. `received` is the number of bytes received on this link so far; older nodes ignore
/// it.
pub(crate) fn put_ping(stamp: u64, received: u64, to: &mut Vec<u8>) {
    put_numbers(kind::PING, &[stamp, received], to);
}

/// Appends a pong. `in_flight` is the number of requests in flight at this node; older nodes ignore it.
pub(crate) fn put_pong(echo: u64, stamp: u64, in_flight: u64, to: &mut Vec<u8>) {
    put_numbers(kind::PONG, &[echo, stamp, in_flight], to);
}

pub(crate) fn put_go_away(reason: GoAway, to: &mut Vec<u8>) {
    put_numbers(kind::GO_AWAY, &[u64::from(reason == GoAway::Leaving)], to);
}

pub(crate) fn put_hello(hello: &[u8], to: &mut Vec<u8>) {
    put_bytes(kind::HELLO, hello, to);
}

/// Appends a frame with the payload of a [`Seal`](crate::proto::wire::seal::Seal).
pub(crate) fn put_seal(seal: &[u8], to: &mut Vec<u8>) {
    put_bytes(kind::SEAL, seal, to);
}

/// Appends a frame with the payload of an [`Unsealed`](crate::proto::wire::seal::Unsealed).
pub(crate) fn put_unsealed(unsealed: &[u8], to: &mut Vec<u8>) {
    put_bytes(kind::UNSEALED, unsealed, to);
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

#[inline(always)]
fn put_body(body: Body<'_>, to: &mut Vec<u8>) {
    match body {
        Body::Whole(bytes) => to.extend_from_slice(bytes),
        Body::Chunked(size) => varint::put(size, to),
    }
}
