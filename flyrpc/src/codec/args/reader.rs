//! Decodes the arguments of a call.

use std::fmt;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::absent::absent;
use crate::{
    codec::{
        encoded::decode_shared,
        msgpack::{CodecError, Input, Token, truncated_name},
        verify::decode_verified,
    },
    error::BodyError,
    types::Argument,
};

/// The number of arguments whose values are located without an allocation.
const INLINE: usize = 4;

/// Reads the arguments of one call.
pub struct ArgsReader<'a> {
    known: &'static [Argument],
    /// The body, if long byte strings may share its memory.
    shared: Option<&'a Bytes>,
    /// The encoded value of each known argument, in order. The value of an absent argument is empty,
    /// unlike any encoded value.
    inline: [&'a [u8]; INLINE],
    more: Vec<&'a [u8]>,
    /// The index of the argument that is probably requested next.
    next: usize,
}

impl<'a> ArgsReader<'a> {
    /// Locates every argument in `body`. Unknown names, repeated names and bytes after the end are errors.
    /// If the last argument is a sequence or a map, only [`take`](ArgsReader::take) detects bytes after
    /// it, so that it is not scanned twice.
    ///
    /// # Errors
    ///
    /// Returns an error if `body` is not a map whose keys are names in `known`.
    #[inline]
    pub fn parse(body: &'a [u8], known: &'static [Argument]) -> Result<Self, BodyError> {
        ArgsReader::locate(body, None, known)
    }

    /// Like [`parse`](ArgsReader::parse). Long byte strings share the memory of `body`.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`parse`](ArgsReader::parse).
    #[inline]
    pub fn parse_shared(body: &'a Bytes, known: &'static [Argument]) -> Result<Self, BodyError> {
        ArgsReader::locate(body, Some(body), known)
    }

    #[inline(always)]
    fn locate(
        body: &'a [u8],
        shared: Option<&'a Bytes>,
        known: &'static [Argument],
    ) -> Result<Self, BodyError> {
        let mut input = Input { rest: body };
        let count = input.map()?;
        let more = match known.len().checked_sub(INLINE) {
            None | Some(0) => Vec::new(),
            Some(more) => vec![&body[..0]; more],
        };
        let mut reader = ArgsReader { known, shared, inline: [&[]; INLINE], more, next: 0 };
        for left in (0..count).rev() {
            let position = match reader.take_next_name(&mut input) {
                Some(position) => position,
                None => reader.take_name(&mut input)?,
            };
            let value = take_value(&mut input, left == 0)
                .map_err(|error| error.at_name(known[position].name))?;
            let slot = reader.slot(position);
            if !slot.is_empty() {
                return Err(BodyError::new(known[position].name, "argument is given twice"));
            }
            *slot = value;
        }
        reader.next = 0;
        match input.rest.len() {
            0 => Ok(reader),
            left => Err(trailing(left)),
        }
    }

    /// Takes the name of the argument that is probably next, and returns its index.
    #[inline]
    fn take_next_name(&mut self, input: &mut Input<'a>) -> Option<usize> {
        let position = self.next;
        if !input.skip_short_str(self.known.get(position)?.name) {
            return None;
        }
        self.next = position + 1;
        Some(position)
    }

    /// Takes the name of any argument, and returns its index.
    #[cold]
    fn take_name(&mut self, input: &mut Input<'a>) -> Result<usize, BodyError> {
        let Token::Str(name) = input.token()? else {
            return Err(BodyError::new("", "an argument is not given by name"));
        };
        let position = self.position(name);
        position.ok_or_else(|| BodyError::new(truncated_name(name), "unknown argument"))
    }

    /// Decodes an argument. An absent argument is `None` if its type is an `Option`.
    ///
    /// # Errors
    ///
    /// Returns an error if the argument is absent and not an `Option`, or cannot be decoded as a `T`
    /// without being misread.
    #[inline]
    pub fn take<T: Serialize + DeserializeOwned + 'static>(
        &mut self,
        name: &'static str,
    ) -> Result<T, BodyError> {
        self.take_or(name, || absent().map_err(|error| error.at_name(name).into()))
    }

    /// Decodes an argument, or returns its default if it is absent.
    ///
    /// # Errors
    ///
    /// Returns an error if the argument is present and cannot be decoded as a `T` without being misread.
    #[inline]
    pub fn take_or_default<T: Serialize + DeserializeOwned + Default + 'static>(
        &mut self,
        name: &'static str,
    ) -> Result<T, BodyError> {
        self.take_or(name, || Ok(T::default()))
    }

    #[inline]
    fn take_or<T: Serialize + DeserializeOwned + 'static>(
        &mut self,
        name: &'static str,
        absent: impl FnOnce() -> Result<T, BodyError>,
    ) -> Result<T, BodyError> {
        let value = match self.position(name) {
            Some(position) => *self.slot(position),
            None => &[],
        };
        if value.is_empty() {
            return absent();
        }
        if let Some(shared) = self.shared.and_then(|body| decode_shared(body, value)) {
            return Ok(shared);
        }
        decode_verified(value).map_err(|error| error.at_name(name).into())
    }

    /// The index of the argument with this name. Arguments are usually in order.
    #[inline]
    fn position(&mut self, name: &str) -> Option<usize> {
        let has_name = |argument: &Argument| argument.name == name;
        let position = match self.known.get(self.next) {
            // Usually, both are the same constant.
            Some(next) if std::ptr::eq(next.name, name) || has_name(next) => self.next,
            _ => self.known.iter().position(has_name)?,
        };
        self.next = position + 1;
        Some(position)
    }

    #[inline]
    fn slot(&mut self, position: usize) -> &mut &'a [u8] {
        match position.checked_sub(INLINE) {
            None => &mut self.inline[position],
            Some(position) => &mut self.more[position],
        }
    }
}

impl fmt::Debug for ArgsReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.inline.iter().chain(&self.more);
        let given = self.known.iter().zip(values).filter(|(_, value)| !value.is_empty());
        f.debug_set().entries(given.map(|(argument, _)| argument.name)).finish()
    }
}

/// Takes the bytes of the next value. If it is the last value and may be long, takes all remaining bytes
/// instead of scanning it, because the decoder refuses bytes after the value.
#[inline]
fn take_value<'a>(input: &mut Input<'a>, is_last: bool) -> Result<&'a [u8], CodecError> {
    let start = input.rest;
    if is_last && input.is_at_container() {
        input.rest = &[];
        return Ok(start);
    }
    input.skip()?;
    Ok(&start[..start.len() - input.rest.len()])
}

#[cold]
fn trailing(left: usize) -> BodyError {
    BodyError::new("", format_args!("trailing bytes after the arguments: {left}"))
}
