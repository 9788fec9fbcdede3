//! The bytes: MessagePack, with four extension types of flyrpc's own.
//!
//! Reading is by [`Token`]: one value, or the head of an array or a map. No claimed length is
//! believed before as many bytes as it takes were seen.

use rmp::Marker;
use serde::de::Unexpected;

use super::failure::{Failure, Result};

/// How deep arrays and maps may be nested, in what is written and in what is read. serde_json's
/// bound: enough for what people write, and little enough for a 2 MiB stack in debug builds.
pub(super) const MAX_DEPTH: usize = 128;

/// How many options and newtypes may be open at once. They take no bytes, so that a type made of
/// nothing else could recurse for ever.
pub(super) const MAX_WRAPPERS: usize = 1024;

/// The extension types.
pub(super) mod ext {
    /// `()`, unit structs. Nil is none, so that a unit is never read as a none or the reverse.
    pub(in super::super) const UNIT: i8 = 0;
    /// `Some(None)`: its one byte of content is the nil within.
    pub(in super::super) const SOME_NONE: i8 = 1;
    /// An unsigned integer past 64 bits: 16 bytes, big-endian.
    pub(in super::super) const WIDE_UNSIGNED: i8 = 2;
    /// A signed integer past 64 bits: 16 bytes, big-endian.
    pub(in super::super) const WIDE_SIGNED: i8 = 3;
}

/// `()`, as it is written.
pub(super) const UNIT: [u8; 3] = [0xd4, ext::UNIT as u8, 0];

/// `Some(None)`, as it is written.
pub(super) const SOME_NONE: [u8; 3] = [0xd4, ext::SOME_NONE as u8, NIL];

/// `None`, as it is written.
pub(super) const NIL: u8 = 0xc0;

/// One value, or the head of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'de> {
    None,
    Unit,
    /// `Some(None)`, of which the inner nil is still to be read.
    Some,
    Bool(bool),
    Unsigned(u64),
    /// Below 0.
    Negative(i64),
    /// By reference, which keeps tokens small.
    WideUnsigned(&'de [u8; 16]),
    WideSigned(&'de [u8; 16]),
    F32(f32),
    F64(f64),
    Str(&'de str),
    Bytes(&'de [u8]),
    /// So many elements follow.
    Array(usize),
    /// So many keys follow, each with a value.
    Map(usize),
}

impl<'de> Token<'de> {
    #[cold]
    pub(super) fn unexpected(self) -> Unexpected<'de> {
        match self {
            Token::None => Unexpected::Other("none"),
            Token::Unit => Unexpected::Unit,
            Token::Some => Unexpected::Other("some of none"),
            Token::Bool(v) => Unexpected::Bool(v),
            Token::Unsigned(v) => Unexpected::Unsigned(v),
            Token::Negative(v) => Unexpected::Signed(v),
            Token::WideUnsigned(_) | Token::WideSigned(_) => {
                Unexpected::Other("integer of more than 64 bits")
            }
            Token::F32(v) => Unexpected::Float(v.into()),
            Token::F64(v) => Unexpected::Float(v),
            Token::Str(v) => Unexpected::Str(v),
            // Not `Unexpected::Bytes`: that prints nothing of them either.
            Token::Bytes(_) => Unexpected::Other("bytes"),
            Token::Array(_) => Unexpected::Seq,
            Token::Map(_) => Unexpected::Map,
        }
    }
}

/// Bytes being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'de> {
    pub(super) rest: &'de [u8],
}

impl<'de> Input<'de> {
    /// Reads a non-negative integer, if that is what is next.
    #[inline]
    pub(super) fn unsigned(&mut self) -> Option<u64> {
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

    /// Reads a 64-bit float, if that is what is next.
    #[inline]
    pub(super) fn f64(&mut self) -> Option<f64> {
        let (value, rest) = self.rest.strip_prefix(&[0xcb])?.split_first_chunk()?;
        self.rest = rest;
        Some(f64::from_be_bytes(*value))
    }

    /// Reads a string of less than 256 bytes, if that is what is next.
    #[inline]
    pub(super) fn short_str(&mut self) -> Option<&'de str> {
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

    /// Reads a value without content of its own, or the head of one that has some. The readers of
    /// what is most frequent come first where they can; this one is too large to be inlined.
    #[inline(never)]
    pub(super) fn token(&mut self) -> Result<Token<'de>> {
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

    /// Passes over a value, however deeply nested.
    pub(super) fn skip(&mut self) -> Result<()> {
        // Bounded by the bytes left, as every element takes one at least.
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

    /// Whether an array or a map is next.
    #[inline]
    pub(super) fn is_at_container(&self) -> bool {
        matches!(self.rest, [0x80..=0x9f | 0xdc..=0xdf, ..])
    }

    /// Whether the next value begins with these bytes; if so, passes over them.
    #[inline]
    pub(super) fn passes(&mut self, bytes: &[u8]) -> bool {
        match self.rest.strip_prefix(bytes) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Passes over the head of an array or a map, or an extension; gives how many values follow.
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
            Err(error) => Err(Failure::new(error)),
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

    fn extension(&mut self, marker: Marker) -> Result<Token<'de>> {
        let kind = match marker {
            Marker::FixExt1 | Marker::FixExt16 => self.array().map(i8::from_be_bytes)?,
            _ => return Err(unknown(marker)),
        };
        match (marker, kind) {
            (Marker::FixExt1, ext::UNIT) if self.passes(&[0]) => Ok(Token::Unit),
            (Marker::FixExt1, ext::SOME_NONE) if self.rest.first() == Some(&NIL) => Ok(Token::Some),
            (Marker::FixExt16, ext::WIDE_UNSIGNED) => self.chunk().map(Token::WideUnsigned),
            (Marker::FixExt16, ext::WIDE_SIGNED) => self.chunk().map(Token::WideSigned),
            _ => Err(unknown(marker)),
        }
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
fn ends_early() -> Failure {
    Failure::new("the bytes end early")
}

#[cold]
fn unknown(marker: Marker) -> Failure {
    Failure::new(format_args!("no value begins with the byte {:#04x} here", marker.to_u8()))
}

/// What a length is of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Str,
    Bytes,
    Array,
    Map,
}

/// Marker and length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    bytes: [u8; 5],
    length: usize,
}

impl Head {
    /// Of the shortest form.
    #[inline]
    pub(super) fn new(kind: Kind, length: usize) -> Result<Self> {
        let Ok(wide) = u32::try_from(length) else {
            return Err(Failure::new(format_args!("{length} bytes or elements are too many")));
        };
        let (short, of8, of16, of32) = match kind {
            Kind::Str => (Some((0xa0, 31)), Some(Marker::Str8), Marker::Str16, Marker::Str32),
            Kind::Bytes => (None, Some(Marker::Bin8), Marker::Bin16, Marker::Bin32),
            Kind::Array => (Some((0x90, 15)), None, Marker::Array16, Marker::Array32),
            Kind::Map => (Some((0x80, 15)), None, Marker::Map16, Marker::Map32),
        };
        let [a, b, c, d] = wide.to_be_bytes();
        Ok(match (short, of8) {
            (Some((base, most)), _) if wide <= most => {
                Head { bytes: [base | d, 0, 0, 0, 0], length: 1 }
            }
            (_, Some(marker)) if wide <= 0xff => {
                Head { bytes: [marker.to_u8(), d, 0, 0, 0], length: 2 }
            }
            _ if wide <= 0xffff => Head { bytes: [of16.to_u8(), c, d, 0, 0], length: 3 },
            _ => Head { bytes: [of32.to_u8(), a, b, c, d], length: 5 },
        })
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    #[inline]
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        match self.length {
            1 => to.push(self.bytes[0]),
            _ => to.extend_from_slice(self.as_bytes()),
        }
    }
}

#[inline]
pub(super) fn write_str(text: &str, to: &mut Vec<u8>) -> Result<()> {
    Head::new(Kind::Str, text.len())?.write(to);
    to.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Writes an integer in the shortest form.
#[inline]
pub(super) fn write_unsigned(value: u64, to: &mut Vec<u8>) {
    match value {
        0..=0x7f => to.push(value as u8),
        0x80..=0xff => to.extend_from_slice(&[Marker::U8.to_u8(), value as u8]),
        0x100..=0xffff => marked(Marker::U16, (value as u16).to_be_bytes(), to),
        0x1_0000..=0xffff_ffff => marked(Marker::U32, (value as u32).to_be_bytes(), to),
        _ => marked(Marker::U64, value.to_be_bytes(), to),
    }
}

/// Writes an integer in the shortest form.
#[inline]
pub(super) fn write_signed(value: i64, to: &mut Vec<u8>) {
    match value {
        0.. => write_unsigned(value as u64, to),
        -0x20..=-1 => to.push(value as u8),
        -0x80..=-0x21 => to.extend_from_slice(&[Marker::I8.to_u8(), value as u8]),
        -0x8000..=-0x81 => marked(Marker::I16, (value as i16).to_be_bytes(), to),
        -0x8000_0000..=-0x8001 => marked(Marker::I32, (value as i32).to_be_bytes(), to),
        _ => marked(Marker::I64, value.to_be_bytes(), to),
    }
}

#[inline]
pub(super) fn marked<const N: usize>(marker: Marker, content: [u8; N], to: &mut Vec<u8>) {
    let mut bytes = [0; 17];
    bytes[0] = marker.to_u8();
    bytes[1..=N].copy_from_slice(&content);
    to.extend_from_slice(&bytes[..=N]);
}

pub(super) fn write_wide(kind: i8, content: [u8; 16], to: &mut Vec<u8>) {
    to.extend_from_slice(&[Marker::FixExt16.to_u8(), kind as u8]);
    to.extend_from_slice(&content);
}
