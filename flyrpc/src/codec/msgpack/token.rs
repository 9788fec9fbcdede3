//! Reads MessagePack as a sequence of [`Token`]s, which are single values or the heads of arrays and maps.
//!
//! An encoded length is an error unless at least that many bytes follow.

use rmp::Marker;
use serde::de::Unexpected;

use super::{
    error::{CodecError, Result, Segment},
    format::{NESTED_SOME, NIL, SOME_NONE, begins_with_some, ext},
};

/// One value, or the head of an array or a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'de> {
    None,
    Unit,
    /// The start of `Some(None)`; the inner nil is the next token.
    Some,
    Bool(bool),
    Unsigned(u64),
    /// An integer below 0.
    Negative(i64),
    /// An integer of more than 64 bits, by reference to keep tokens small.
    WideUnsigned(&'de [u8; 16]),
    WideSigned(&'de [u8; 16]),
    F32(f32),
    F64(f64),
    Str(&'de str),
    Bytes(&'de [u8]),
    /// This many elements follow.
    Array(usize),
    /// This many keys follow, each with a value.
    Map(usize),
}

impl<'de> Token<'de> {
    #[cold]
    pub(crate) fn unexpected(self) -> Unexpected<'de> {
        match self {
            Token::None => Unexpected::Other("none"),
            Token::Unit => Unexpected::Unit,
            Token::Some => Unexpected::Other("`Some(None)`"),
            Token::Bool(v) => Unexpected::Bool(v),
            Token::Unsigned(v) => Unexpected::Unsigned(v),
            Token::Negative(v) => Unexpected::Signed(v),
            Token::WideUnsigned(_) | Token::WideSigned(_) => {
                Unexpected::Other("integer of more than 64 bits")
            }
            Token::F32(v) => Unexpected::Float(v.into()),
            Token::F64(v) => Unexpected::Float(v),
            Token::Str(v) => Unexpected::Str(v),
            // Like `Unexpected::Bytes`, whose `Display` does not show the bytes either.
            Token::Bytes(_) => Unexpected::Other("bytes"),
            Token::Array(_) => Unexpected::Seq,
            Token::Map(_) => Unexpected::Map,
        }
    }
}

/// Bytes that are being read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'de> {
    pub(crate) rest: &'de [u8],
}

impl<'de> Input<'de> {
    /// Reads a non-negative integer, if the next value is one.
    #[inline]
    pub(crate) fn unsigned(&mut self) -> Option<u64> {
        let (value, rest) = match self.rest {
            [value @ ..0x80, rest @ ..] => ((*value).into(), rest),
            [0xcc, value, rest @ ..] => ((*value).into(), rest),
            [0xcd, a, b, rest @ ..] => (u16::from_be_bytes([*a, *b]).into(), rest),
            [0xce, a, b, c, d, rest @ ..] => (u32::from_be_bytes([*a, *b, *c, *d]).into(), rest),
            [0xcf, rest @ ..] => {
                let (value, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*value), rest)
            }
            _ => return None,
        };
        self.rest = rest;
        Some(value)
    }

    /// Reads a 64-bit float, if the next value is one.
    #[inline]
    pub(crate) fn f64(&mut self) -> Option<f64> {
        let (value, rest) = self.rest.strip_prefix(&[0xcb])?.split_first_chunk()?;
        self.rest = rest;
        Some(f64::from_be_bytes(*value))
    }

    /// Reads a string of less than 256 bytes, if the next value is one.
    #[inline]
    pub(crate) fn short_str(&mut self) -> Option<&'de str> {
        let (length, rest) = match self.rest {
            [head @ 0xa0..=0xbf, rest @ ..] => (head & 0x1f, rest),
            [0xd9, length, rest @ ..] => (*length, rest),
            _ => return None,
        };
        let (text, rest) = rest.split_at_checked(length.into())?;
        let text = str::from_utf8(text).ok()?;
        self.rest = rest;
        Some(text)
    }

    /// Skips the string `text`, if it is the next value and shorter than 32 bytes.
    #[inline]
    pub(crate) fn skip_short_str(&mut self, text: &str) -> bool {
        let rest = match self.rest {
            [head @ 0xa0..=0xbf, rest @ ..] if usize::from(head & 0x1f) == text.len() => rest,
            _ => return false,
        };
        match rest.strip_prefix(text.as_bytes()) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Reads a bool, if the next value is one.
    #[inline]
    pub(crate) fn bool(&mut self) -> Option<bool> {
        let (value, rest) = match self.rest {
            [0xc2, rest @ ..] => (false, rest),
            [0xc3, rest @ ..] => (true, rest),
            _ => return None,
        };
        self.rest = rest;
        Some(value)
    }

    /// Reads the head of an array of less than 16 elements, if the next value is one.
    #[inline]
    pub(crate) fn short_array(&mut self) -> Option<usize> {
        let [head @ 0x90..=0x9f, rest @ ..] = self.rest else { return None };
        let count = usize::from(head & 0xf);
        (count <= rest.len()).then(|| self.rest = rest)?;
        Some(count)
    }

    /// Reads the head of a map of less than 16 entries, if the next value is one.
    #[inline]
    pub(crate) fn short_map(&mut self) -> Option<usize> {
        let [head @ 0x80..=0x8f, rest @ ..] = self.rest else { return None };
        let count = usize::from(head & 0xf);
        (2 * count <= rest.len()).then(|| self.rest = rest)?;
        Some(count)
    }

    /// Reads the head of a map of arguments, and returns how many entries follow.
    #[inline]
    pub(crate) fn map(&mut self) -> Result<usize> {
        match self.rest {
            [head @ 0x80..=0x8f, rest @ ..] if usize::from(2 * (head & 0xf)) <= rest.len() => {
                self.rest = rest;
                Ok(usize::from(head & 0xf))
            }
            _ => match self.token()? {
                Token::Map(count) => Ok(count),
                _ => Err(CodecError::new("the arguments are not a map")),
            },
        }
    }

    /// Reads the next token. This function is too large to be inlined, so callers first try the readers of
    /// the most frequent kinds.
    #[inline(never)]
    pub(crate) fn token(&mut self) -> Result<Token<'de>> {
        Ok(match self.marker()? {
            Marker::FixPos(n) => Token::Unsigned(n.into()),
            Marker::U8 => Token::Unsigned(self.array().map(u8::from_be_bytes)?.into()),
            Marker::U16 => Token::Unsigned(self.array().map(u16::from_be_bytes)?.into()),
            Marker::U32 => Token::Unsigned(self.array().map(u32::from_be_bytes)?.into()),
            Marker::U64 => Token::Unsigned(self.array().map(u64::from_be_bytes)?),
            Marker::FixNeg(n) => Token::Negative(n.into()),
            Marker::I8 => signed(self.array().map(i8::from_be_bytes)?.into()),
            Marker::I16 => signed(self.array().map(i16::from_be_bytes)?.into()),
            Marker::I32 => signed(self.array().map(i32::from_be_bytes)?.into()),
            Marker::I64 => signed(self.array().map(i64::from_be_bytes)?),
            Marker::Null => Token::None,
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::F32 => Token::F32(self.array().map(f32::from_be_bytes)?),
            Marker::F64 => Token::F64(self.array().map(f64::from_be_bytes)?),
            Marker::FixStr(n) => self.str(n.into())?,
            Marker::Str8 => self.length8().and_then(|n| self.str(n))?,
            Marker::Str16 => self.length16().and_then(|n| self.str(n))?,
            Marker::Str32 => self.length32().and_then(|n| self.str(n))?,
            Marker::Bin8 => self.length8().and_then(|n| self.take(n)).map(Token::Bytes)?,
            Marker::Bin16 => self.length16().and_then(|n| self.take(n)).map(Token::Bytes)?,
            Marker::Bin32 => self.length32().and_then(|n| self.take(n)).map(Token::Bytes)?,
            Marker::FixArray(n) => self.elements(n.into()).map(Token::Array)?,
            Marker::Array16 => self.length16().and_then(|n| self.elements(n)).map(Token::Array)?,
            Marker::Array32 => self.length32().and_then(|n| self.elements(n)).map(Token::Array)?,
            Marker::FixMap(n) => self.entries(n.into()).map(Token::Map)?,
            Marker::Map16 => self.length16().and_then(|n| self.entries(n)).map(Token::Map)?,
            Marker::Map32 => self.length32().and_then(|n| self.entries(n)).map(Token::Map)?,
            marker => self.extension(marker)?,
        })
    }

    /// Skips a value, however deeply nested.
    #[inline]
    pub(crate) fn skip(&mut self) -> Result<()> {
        let length = match self.rest {
            [0x00..=0x7f, ..] => 1,
            [head @ 0xa0..=0xbf, ..] => 1 + usize::from(head & 0x1f),
            _ => return self.skip_nested(),
        };
        self.take(length).map(drop)
    }

    fn skip_nested(&mut self) -> Result<()> {
        // Bounded by the remaining bytes, because every element takes at least one byte.
        let mut pending = 1usize;
        while pending > 0 {
            pending -= 1;
            let content = match self.marker()? {
                Marker::FixPos(_) | Marker::FixNeg(_) => continue,
                Marker::Null | Marker::True | Marker::False => continue,
                Marker::U8 | Marker::I8 => 1,
                Marker::U16 | Marker::I16 => 2,
                Marker::U32 | Marker::I32 | Marker::F32 => 4,
                Marker::U64 | Marker::I64 | Marker::F64 => 8,
                Marker::FixStr(n) => n.into(),
                Marker::Str8 | Marker::Bin8 => self.length8()?,
                Marker::Str16 | Marker::Bin16 => self.length16()?,
                Marker::Str32 | Marker::Bin32 => self.length32()?,
                marker => {
                    pending += self.skip_head(marker)?;
                    continue;
                }
            };
            self.take(content)?;
        }
        Ok(())
    }

    /// Whether the next value is an array or a map.
    #[inline]
    pub(crate) fn is_at_container(&self) -> bool {
        matches!(self.rest, [0x80..=0x9f | 0xdc..=0xdf, ..])
    }

    /// Skips these bytes if the next value begins with them, and returns whether it does.
    #[inline]
    pub(crate) fn skip_prefix(&mut self, bytes: &[u8]) -> bool {
        match self.rest.strip_prefix(bytes) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Skips an extension, or the head of an array or a map, and returns the number of values that follow.
    fn skip_head(&mut self, marker: Marker) -> Result<usize> {
        match marker {
            Marker::FixArray(n) => self.elements(n.into()),
            Marker::Array16 => self.length16().and_then(|n| self.elements(n)),
            Marker::Array32 => self.length32().and_then(|n| self.elements(n)),
            Marker::FixMap(n) => self.entries(n.into()).map(|n| 2 * n),
            Marker::Map16 => self.length16().and_then(|n| self.entries(n)).map(|n| 2 * n),
            Marker::Map32 => self.length32().and_then(|n| self.entries(n)).map(|n| 2 * n),
            marker => Ok(match self.extension(marker)? {
                Token::Some => 1,
                _ => 0,
            }),
        }
    }

    #[inline]
    fn marker(&mut self) -> Result<Marker> {
        match self.rest.split_first() {
            Some((first, rest)) => {
                self.rest = rest;
                Ok(Marker::from_u8(*first))
            }
            None => Err(ends_early()),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.chunk().copied()
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<&'de [u8; N]> {
        match self.rest.split_first_chunk() {
            Some((first, rest)) => {
                self.rest = rest;
                Ok(first)
            }
            None => Err(ends_early()),
        }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'de [u8]> {
        match self.rest.split_at_checked(length) {
            Some((first, rest)) => {
                self.rest = rest;
                Ok(first)
            }
            None => Err(ends_early()),
        }
    }

    #[inline]
    fn str(&mut self, length: usize) -> Result<Token<'de>> {
        match str::from_utf8(self.take(length)?) {
            Ok(text) => Ok(Token::Str(text)),
            Err(error) => Err(CodecError::new(error)),
        }
    }

    #[inline]
    fn length8(&mut self) -> Result<usize> {
        self.array().map(|bytes| u8::from_be_bytes(bytes).into())
    }

    #[inline]
    fn length16(&mut self) -> Result<usize> {
        self.array().map(|bytes| u16::from_be_bytes(bytes).into())
    }

    #[inline]
    fn length32(&mut self) -> Result<usize> {
        self.array().map(|bytes| u32::from_be_bytes(bytes) as usize)
    }

    #[inline]
    fn elements(&self, count: usize) -> Result<usize> {
        if count > self.rest.len() { Err(ends_early()) } else { Ok(count) }
    }

    #[inline]
    fn entries(&self, count: usize) -> Result<usize> {
        if count > self.rest.len() / 2 { Err(ends_early()) } else { Ok(count) }
    }

    /// Moves past the start of a `None` within one or more `Some`, if one is next, so that the inner value is
    /// next.
    #[inline]
    pub(crate) fn skip_some(&mut self) {
        if self.rest.starts_with(&SOME_NONE) {
            self.rest = &self.rest[2..];
        } else if let [NESTED_SOME, length, kind, rest @ ..] = self.rest
            && *kind == ext::SOME_NONE as u8
            && begins_with_some(rest, (*length).into())
        {
            self.rest = rest;
        }
    }

    fn extension(&mut self, marker: Marker) -> Result<Token<'de>> {
        let length = match marker {
            Marker::Ext8 => self.array::<1>()?[0].into(),
            _ => 1,
        };
        let kind = match marker {
            Marker::Ext8 | Marker::FixExt1 | Marker::FixExt16 => {
                self.array().map(i8::from_be_bytes)?
            }
            _ => return Err(unknown(marker)),
        };
        match (marker, kind) {
            (Marker::FixExt1, ext::UNIT) if self.skip_prefix(&[0]) => Ok(Token::Unit),
            (Marker::FixExt1, ext::SOME_NONE) if self.rest.first() == Some(&NIL) => Ok(Token::Some),
            (Marker::Ext8, ext::SOME_NONE) if begins_with_some(self.rest, length) => {
                Ok(Token::Some)
            }
            (Marker::FixExt16, ext::WIDE_UNSIGNED) => self.chunk().map(Token::WideUnsigned),
            (Marker::FixExt16, ext::WIDE_SIGNED) => self.chunk().map(Token::WideSigned),
            _ => Err(unknown(marker)),
        }
    }
}

/// Adds the key at the front of `key` to the path of an error in the value of that key.
#[cold]
pub(crate) fn at_key(error: CodecError, key: Input<'_>) -> CodecError {
    error.at(key_segment(key))
}

/// The part of a path for the key at the front of `key`.
#[cold]
pub(crate) fn key_segment(mut key: Input<'_>) -> Segment {
    match key.token() {
        Ok(Token::Str(name)) => Segment::name(name),
        Ok(Token::Unsigned(key)) => Segment::bracketed(key),
        Ok(Token::Negative(key)) => Segment::bracketed(key),
        _ => Segment::bracketed("…"),
    }
}

#[inline]
fn signed(value: i64) -> Token<'static> {
    match u64::try_from(value) {
        Ok(value) => Token::Unsigned(value),
        Err(_) => Token::Negative(value),
    }
}

#[cold]
fn ends_early() -> CodecError {
    CodecError::new("unexpected end of input")
}

#[cold]
fn unknown(marker: Marker) -> CodecError {
    CodecError::new(format_args!("byte {:#04x} does not begin a valid value", marker.to_u8()))
}
