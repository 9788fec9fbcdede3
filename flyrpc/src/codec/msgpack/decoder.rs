//! The decoder: a position in the bytes of one body, and the invariants that hold while it moves.
//!
//! It is not a wrapper around rmp-serde's deserializer, whose leniency is inside the methods that a
//! wrapper would call. At the point where a wrapper could refuse a value, it would no longer know whether
//! the value was an array or a map, or an integer or a name.

use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Error, Unexpected, Visitor};

use super::{
    error::{CodecError, Result},
    format::{MAX_DEPTH, MAX_WRAPPERS},
    token::{Input, Token},
};

/// Decodes one value and everything nested in it.
#[derive(Debug)]
pub(crate) struct Decoder<'de> {
    pub(crate) input: Input<'de>,
    whole: &'de [u8],
    depth: usize,
    wrappers: usize,
    /// The number of elements that may still be announced to visitors in size hints, because visitors
    /// allocate for these. No valid body has more elements than bytes.
    hint_budget: usize,
    /// Whether a visitor accepted any kind of value, as serde's buffering visitor does.
    pub(super) used_any: bool,
    pub(super) buffering: Buffering,
    /// The name of the field that is probably next, while the key of a struct is read.
    pub(super) expected_name: Option<&'static str>,
    /// Whether an error occurred since the start of the current value. If so, the input may be in the middle
    /// of that value.
    out_of_sync: bool,
}

/// How values are passed to a visitor that accepts any kind of value. Serde's buffering visitor remembers the
/// form in which it received a value, and serde later converts some forms into other types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Buffering {
    /// As JSON does, which users' visitors support. `None` is a unit.
    Plain,
    /// `None` is none, which serde does not read as a unit. Bytes are a sequence, which serde does not read as
    /// text. Large integers are signed, which serde does not read as a name.
    Distinct,
    /// In addition, a unit is some unit, which serde reads as an option only.
    UnitAsSome,
    /// In addition, a unit is an empty map, which serde reads as a unit, but not as `None`.
    UnitAsMap,
}

/// An offset in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset {
    from_end: usize,
}

impl<'de> Decoder<'de> {
    #[inline]
    pub(crate) fn new(bytes: &'de [u8]) -> Self {
        Decoder {
            input: Input { rest: bytes },
            whole: bytes,
            depth: 0,
            wrappers: 0,
            hint_budget: bytes.len(),
            used_any: false,
            buffering: Buffering::Plain,
            expected_name: None,
            out_of_sync: false,
        }
    }

    /// Selects how values are passed to a visitor that accepts any kind of value.
    pub(crate) fn buffering(mut self, buffering: Buffering) -> Self {
        self.buffering = buffering;
        self
    }

    #[inline]
    pub(crate) fn offset(&self) -> Offset {
        Offset { from_end: self.input.rest.len() }
    }

    /// The input from an offset on.
    #[cold]
    pub(crate) fn input_at(&self, offset: Offset) -> Input<'de> {
        Input { rest: &self.whole[self.whole.len() - offset.from_end..] }
    }

    /// Decodes one value, and moves the input past it, even if its `Deserialize` read nothing or
    /// swallowed an inner error, as `deserialize_with = "or_default"` does.
    #[inline]
    pub(crate) fn value<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let start = self.offset();
        match seed.deserialize(&mut *self) {
            Ok(value) => {
                if self.out_of_sync || self.offset() == start {
                    self.skip_from(start);
                }
                Ok(value)
            }
            // Most errors end the decoding. If this one does not, `resume` finds the end of the value.
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Moves the input past the value at `start` if a visitor swallowed the error of that value.
    #[inline]
    pub(crate) fn resume(&mut self, start: Offset) {
        if self.out_of_sync {
            self.skip_from(start);
        }
    }

    /// Moves the input past the value at `start`. If that value cannot be skipped, the input becomes empty
    /// and stays out of sync, so that no other bytes are mistaken for the next value.
    #[cold]
    fn skip_from(&mut self, start: Offset) {
        self.input = self.input_at(start);
        self.out_of_sync = self.input.skip().is_err();
        if self.out_of_sync {
            self.input.rest = &[];
        }
    }

    /// Whether serde buffered a part of the value, and may have misread it.
    #[inline]
    pub(crate) fn used_any(&self) -> bool {
        self.used_any
    }

    /// Decodes a value that takes up all of the input.
    #[inline]
    pub(crate) fn decode_all<T: Deserialize<'de>>(&mut self) -> Result<T> {
        let value = self.value(PhantomData)?;
        match self.input.rest.len() {
            _ if self.out_of_sync => Err(CodecError::new("a nested value cannot be skipped")),
            0 => Ok(value),
            left => Err(CodecError::new(format_args!("trailing bytes after the value: {left}"))),
        }
    }

    /// Records that the input may be in the middle of a value.
    #[cold]
    pub(crate) fn fail(&mut self, error: CodecError) -> CodecError {
        self.out_of_sync = true;
        error
    }

    /// The number of elements, at most `count`, for which a visitor may allocate in advance.
    #[inline]
    pub(crate) fn size_hint(&mut self, count: usize) -> usize {
        let hint = count.min(self.hint_budget);
        self.hint_budget -= hint;
        hint
    }

    #[inline]
    pub(super) fn token(&mut self) -> Result<Token<'de>> {
        self.input.token().map_err(|error| self.fail(error))
    }

    #[cold]
    pub(super) fn invalid_type<V: Visitor<'de>>(
        &mut self,
        found: Token<'de>,
        visitor: &V,
    ) -> CodecError {
        self.fail(CodecError::invalid_type(found.unexpected(), visitor))
    }

    #[cold]
    pub(super) fn invalid_value<V: Visitor<'de>>(
        &mut self,
        found: Unexpected<'_>,
        visitor: &V,
    ) -> CodecError {
        self.fail(CodecError::invalid_value(found, visitor))
    }

    /// Decodes the content of a container.
    #[inline]
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            let error =
                CodecError::new(format_args!("value is nested more than {MAX_DEPTH} levels deep"));
            return Err(self.fail(error));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result.map_err(|error| self.fail(error))
    }

    /// Decodes the content of an option or a newtype.
    #[inline]
    pub(super) fn wrapped<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.wrappers == MAX_WRAPPERS {
            let error = CodecError::new(format_args!(
                "value is nested more than {MAX_WRAPPERS} options deep"
            ));
            return Err(self.fail(error));
        }
        let start = self.offset();
        self.wrappers += 1;
        let result = read(self);
        self.wrappers -= 1;
        self.out_of_sync |= self.offset() == start;
        result
    }
}
