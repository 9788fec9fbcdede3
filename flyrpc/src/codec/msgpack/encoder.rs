//! The encoder: appends values to a buffer.
//!
//! It is not built on rmp-serde's serializer, which encodes a unit like `None`, trusts a `Serialize` that
//! announces one length and writes another, recurses without a bound, and does not report the position
//! of an error in a value.
//!
//! After any `Serialize`, the buffer contains a well-formed value or its previous content. To guarantee
//! this, the encoder counts elements, and removes an element whose `Serialize` failed, even if the
//! container continues without it.

use serde::Serialize;

use super::{
    error::{CodecError, Result},
    format::{MAX_DEPTH, MAX_WRAPPERS, NIL},
    head::{Head, Kind, write_str},
};

/// Appends values to a buffer.
#[derive(Debug)]
pub(crate) struct Encoder<'a> {
    pub(crate) to: &'a mut Vec<u8>,
    pub(crate) depth: usize,
    wrappers: usize,
}

/// The result of [`write`]. A map of arguments omits the arguments that are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// Nil, the encoding of `None`.
    None,
    /// A value.
    Value,
}

/// Appends the encoding of `value`, or nothing on error.
#[inline]
pub(crate) fn write<T: Serialize + ?Sized>(value: &T, to: &mut Vec<u8>) -> Result<Written> {
    let start = to.len();
    let mut encoder = Encoder { to, depth: 0, wrappers: 0 };
    if let Err(error) = value.serialize(&mut encoder) {
        to.truncate(start);
        return Err(error);
    }
    Ok(if to[start..] == [NIL] { Written::None } else { Written::Value })
}

impl Encoder<'_> {
    /// Writes a value within a container. On error, everything written since `start` is removed.
    #[inline]
    pub(crate) fn element<T: Serialize + ?Sized>(&mut self, start: usize, value: &T) -> Result<()> {
        let (depth, wrappers) = (self.depth, self.wrappers);
        value.serialize(&mut *self).inspect_err(|_| {
            self.to.truncate(start);
            self.depth = depth;
            self.wrappers = wrappers;
        })
    }

    #[inline]
    pub(crate) fn enter(&mut self) -> Result<()> {
        if self.depth == MAX_DEPTH {
            return Err(CodecError::new(format_args!(
                "value is nested more than {MAX_DEPTH} levels deep"
            )));
        }
        self.depth += 1;
        Ok(())
    }

    /// Replaces the head at offset `start`, which is `old` bytes long.
    pub(crate) fn replace_head(&mut self, start: usize, old: usize, new: Head) {
        self.to.splice(start..start + old, new.as_bytes().iter().copied());
    }

    /// Writes the content of an option or a newtype.
    #[inline]
    pub(crate) fn wrapped<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if self.wrappers == MAX_WRAPPERS {
            return Err(CodecError::new(format_args!(
                "value is nested more than {MAX_WRAPPERS} options deep"
            )));
        }
        self.wrappers += 1;
        let result = value.serialize(&mut *self);
        self.wrappers -= 1;
        result
    }

    /// Begins a variant with content: a map of one entry.
    pub(crate) fn begin_variant(&mut self, name: &'static str) -> Result<()> {
        self.enter()?;
        Head::new(Kind::Map, 1)?.write(self.to);
        write_str(name, self.to)
    }
}
