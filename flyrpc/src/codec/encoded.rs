//! Bodies with long byte strings, which are shared with the values instead of being copied.

use std::any::Any;

use bytes::Bytes;
use serde::Serialize;

use super::msgpack::{Head, Input, Kind, Result, Token, Written, write};

/// A [`Bytes`] is shared if it is longer than this, in bytes. A shorter one is copied, which costs less than
/// writing it separately. A decoded one is also copied if it takes up less than half of its body, so that it
/// does not pin the rest.
pub(crate) const SHARED_MIN: usize = 16 << 10;

/// A buffer with at most this many bytes is copied rather than allocated again, when its body has shared parts.
const COPIED_MAX: usize = 4 << 10;

/// An encoded body. Long byte strings are not copied into its buffer.
#[derive(Debug, Default)]
pub struct EncodedBody {
    buffer: Vec<u8>,
    /// Boxed, because most bodies have none, and are cheaper to move without it.
    shared: Option<Box<Shared>>,
}

/// How an `Err` begins: a map of one entry with this key.
const ERR: &[u8] = b"\x81\xa3Err";

/// The shared byte strings of a body, each with the number of bytes of the buffer that precede it.
#[derive(Debug, Default)]
struct Shared(Vec<(usize, Bytes)>);

/// A position in an encoded body, at which it can be truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    buffer: usize,
    shared: usize,
}

impl Shared {
    /// Returns the number of bytes.
    #[cold]
    fn len(&self) -> usize {
        self.0.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

impl EncodedBody {
    /// Creates an empty body, to which values are appended.
    pub const fn new() -> Self {
        EncodedBody { buffer: Vec::new(), shared: None }
    }

    /// Creates an empty body in a `buffer`, which is empty.
    #[inline]
    pub(crate) fn in_buffer(buffer: Vec<u8>) -> Self {
        EncodedBody { buffer, shared: None }
    }

    /// Returns the buffer, with whatever it contains.
    #[inline]
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        match self {
            // Most bodies, which have nothing to drop.
            EncodedBody { buffer, shared: None } | EncodedBody { buffer, .. } => buffer,
        }
    }

    /// Returns the number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.shared {
            None => self.buffer.len(),
            Some(shared) => self.buffer.len() + shared.len(),
        }
    }

    /// Returns whether nothing has been appended.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Returns whether this is an encoded `Err`, if its type is a `Result`.
    pub(crate) fn is_err(&self) -> bool {
        self.buffer.starts_with(ERR)
    }

    /// Returns the buffer, which is the whole body unless a byte string is shared.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Returns the whole body, if no byte string is shared. A body of at most [`SHARED_MIN`] bytes has none.
    pub(crate) fn contiguous(&self) -> Option<&[u8]> {
        self.shared().is_empty().then_some(&self.buffer)
    }

    #[inline]
    fn shared(&self) -> &[(usize, Bytes)] {
        self.shared.as_ref().map_or(&[], |shared| &shared.0)
    }

    /// Empties the body, and returns its parts in order. Keeps the buffer if it contains little besides shared
    /// byte strings, which is then copied.
    pub(crate) fn take_parts(&mut self) -> Vec<Bytes> {
        let shared = match self.shared.take() {
            Some(shared) if !shared.0.is_empty() => shared.0,
            _ => return vec![Bytes::from(std::mem::take(&mut self.buffer))],
        };
        let buffer = if self.buffer.len() > COPIED_MAX {
            Bytes::from(std::mem::take(&mut self.buffer))
        } else {
            let copy = Bytes::copy_from_slice(&self.buffer);
            self.buffer.clear();
            copy
        };
        let mut from = 0;
        let mut parts = Vec::with_capacity(2 * shared.len() + 1);
        for (to, shared) in shared {
            parts.extend([buffer.slice(from..to), shared]);
            from = to;
        }
        parts.push(buffer.slice(from..));
        parts.retain(|part| !part.is_empty());
        parts
    }

    /// Returns the body as contiguous bytes.
    pub(crate) fn into_bytes(mut self) -> Bytes {
        let mut parts = self.take_parts();
        match parts.pop() {
            Some(only) if parts.is_empty() => only,
            last => parts.into_iter().chain(last).flatten().collect(),
        }
    }

    /// Appends the encoding of `value`, or nothing on error.
    #[inline]
    pub(crate) fn put<T: Serialize + 'static>(&mut self, value: &T) -> Result<Written> {
        if let Some(bytes) = (value as &dyn Any).downcast_ref::<Bytes>()
            && bytes.len() > SHARED_MIN
        {
            Head::new(Kind::Bytes, bytes.len())?.write(&mut self.buffer);
            let shared = self.shared.get_or_insert_default();
            shared.0.push((self.buffer.len(), bytes.clone()));
            return Ok(Written::Value);
        }
        write(value, &mut self.buffer)
    }

    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        Mark { buffer: self.buffer.len(), shared: self.shared().len() }
    }

    /// Removes everything that was appended since `mark`.
    #[inline]
    pub(crate) fn truncate(&mut self, mark: Mark) {
        self.buffer.truncate(mark.buffer);
        if let Some(shared) = &mut self.shared {
            shared.0.truncate(mark.shared);
        }
    }

    /// Returns whether exactly `bytes` were appended since `mark`.
    pub(crate) fn has_appended(&self, mark: Mark, bytes: &[u8]) -> bool {
        self.shared().len() == mark.shared && self.buffer[mark.buffer..] == *bytes
    }

    /// Replaces the head at `mark`, which is `old` bytes long.
    pub(crate) fn replace_head(&mut self, mark: Mark, old: usize, new: Head) {
        let (new, end) = (new.as_bytes(), mark.buffer + old);
        self.buffer.splice(mark.buffer..end, new.iter().copied());
        if let Some(shared) = &mut self.shared {
            for (at, _) in &mut shared.0[mark.shared..] {
                *at = *at - old + new.len();
            }
        }
    }
}

#[cfg(test)]
impl From<Vec<u8>> for EncodedBody {
    fn from(buffer: Vec<u8>) -> Self {
        EncodedBody::in_buffer(buffer)
    }
}

/// Decodes `value`, a part of `body`, if it is a long byte string and its type is [`Bytes`]. The result then
/// shares the memory of `body`. Returns `None` in all other cases, also if the value is not valid.
#[inline]
pub(crate) fn decode_shared<T: 'static>(body: &Bytes, value: &[u8]) -> Option<T> {
    let mut decoded = None::<T>;
    let to = (&mut decoded as &mut dyn Any).downcast_mut::<Option<Bytes>>()?;
    let mut input = Input { rest: value };
    let Ok(Token::Bytes(bytes)) = input.token() else { return None };
    if bytes.len() > SHARED_MIN && bytes.len() > body.len() / 2 && input.rest.is_empty() {
        *to = Some(body.slice_ref(bytes));
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode_verified, encode};

    fn joined(body: &mut EncodedBody) -> Vec<u8> {
        body.take_parts().concat()
    }

    #[test]
    fn a_long_byte_string_is_shared_and_a_short_one_is_copied() {
        for (length, parts) in [(0, 1), (SHARED_MIN, 1), (SHARED_MIN + 1, 2), (1 << 20, 2)] {
            let bytes = Bytes::from(vec![7; length]);
            let mut expected = Vec::new();
            encode(&bytes, &mut expected).unwrap();
            let mut body = EncodedBody::new();
            body.put(&bytes).unwrap();
            assert_eq!(body.len(), expected.len());
            assert_eq!(body.contiguous().is_some(), parts == 1);
            let taken = body.take_parts();
            assert_eq!(taken.concat(), expected);
            assert_eq!(taken.len(), parts);
            assert_eq!(taken[parts - 1].as_ptr() == bytes.as_ptr(), parts == 2);
        }
    }

    #[test]
    fn values_around_a_shared_one_keep_their_order() {
        let long = Bytes::from(vec![7; SHARED_MIN + 1]);
        let mut expected = Vec::new();
        let mut body = EncodedBody::new();
        for bytes in [&b"a"[..], &long, b"b", b"c", &long, &long, b"d"] {
            let bytes = Bytes::copy_from_slice(bytes);
            encode(&bytes, &mut expected).unwrap();
            let before = body.mark();
            body.put(&long).unwrap();
            body.truncate(before);
            body.put(&bytes).unwrap();
        }
        assert_eq!(joined(&mut body), expected);
        assert!(body.is_empty());
    }

    #[test]
    fn a_head_that_becomes_longer_moves_shared_values() {
        let long = Bytes::from(vec![7; SHARED_MIN + 1]);
        let mut body = EncodedBody::new();
        let mark = body.mark();
        Head::new(Kind::Array, 1).unwrap().write(body.buffer());
        body.put(&long).unwrap();
        body.replace_head(mark, 1, Head::new(Kind::Array, 1000).unwrap());
        let mut expected = vec![0xdc, 3, 232];
        encode(&long, &mut expected).unwrap();
        assert_eq!(joined(&mut body), expected);
    }

    #[test]
    fn only_long_byte_strings_that_are_most_of_their_body_are_decoded_as_shared() {
        let long = Bytes::from(vec![7; SHARED_MIN + 1]);
        let mut body = EncodedBody::new();
        body.put(&long).unwrap();
        let value = Bytes::from(joined(&mut body));
        let shared = decode_shared::<Bytes>(&value, &value).unwrap();
        assert_eq!(shared, long);
        assert_eq!(shared.as_ptr(), value[value.len() - long.len()..].as_ptr());
        assert_eq!(decode_verified::<Bytes>(&value).unwrap(), long);

        assert!(decode_shared::<Vec<u8>>(&value, &value).is_none());
        assert!(decode_shared::<Option<Bytes>>(&value, &value).is_none());
        assert!(decode_shared::<Bytes>(&value, &value[..value.len() - 1]).is_none());
        let trailing = Bytes::from([&value[..], b"\x01"].concat());
        assert!(decode_shared::<Bytes>(&trailing, &trailing).is_none());
        let in_longer = Bytes::from([&value[..], &value, &value].concat());
        assert!(decode_shared::<Bytes>(&in_longer, &in_longer[..value.len()]).is_none());
        let short = Bytes::from_static(b"\xc4\x01a");
        assert!(decode_shared::<Bytes>(&short, &short).is_none());
    }
}
