//! Writes heads and numbers, each in its shortest form.

use rmp::Marker;

use super::error::{CodecError, Result};

/// The marker of a string of at most [`SHORT_STR`] bytes, to which its length is added.
const FIX_STR: u8 = 0xa0;

/// Upper bound on the length of a string whose head is one byte.
const SHORT_STR: usize = 31;

/// The kinds of values whose encoding begins with a length.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Str,
    Bytes,
    Array,
    Map,
}

/// A marker and a length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    bytes: [u8; 5],
    length: usize,
}

impl Head {
    /// The head in its shortest form.
    #[inline]
    pub(crate) fn new(kind: Kind, length: usize) -> Result<Self> {
        let Ok(wide) = u32::try_from(length) else {
            return Err(CodecError::new(format_args!(
                "a length of {length} does not fit in 32 bits"
            )));
        };
        let (short, of8, of16, of32) = match kind {
            Kind::Str => (
                Some((FIX_STR, SHORT_STR as u32)),
                Some(Marker::Str8),
                Marker::Str16,
                Marker::Str32,
            ),
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
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    #[inline]
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        match self.length {
            1 => to.push(self.bytes[0]),
            _ => to.extend_from_slice(self.as_bytes()),
        }
    }
}

#[inline]
pub(crate) fn write_str(text: &str, to: &mut Vec<u8>) -> Result<()> {
    if text.len() <= SHORT_STR {
        // Once for both parts.
        to.reserve(1 + SHORT_STR);
        to.push(FIX_STR | text.len() as u8);
        to.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    Head::new(Kind::Str, text.len())?.write(to);
    to.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Writes an integer in its shortest form.
#[inline]
pub(crate) fn write_unsigned(value: u64, to: &mut Vec<u8>) {
    match value {
        0..=0x7f => to.push(value as u8),
        0x80..=0xff => to.extend_from_slice(&[Marker::U8.to_u8(), value as u8]),
        0x100..=0xffff => write_marked(Marker::U16, (value as u16).to_be_bytes(), to),
        0x1_0000..=0xffff_ffff => write_marked(Marker::U32, (value as u32).to_be_bytes(), to),
        _ => write_marked(Marker::U64, value.to_be_bytes(), to),
    }
}

/// Writes an integer in its shortest form.
#[inline]
pub(crate) fn write_signed(value: i64, to: &mut Vec<u8>) {
    match value {
        0.. => write_unsigned(value as u64, to),
        -0x20..=-1 => to.push(value as u8),
        -0x80..=-0x21 => to.extend_from_slice(&[Marker::I8.to_u8(), value as u8]),
        -0x8000..=-0x81 => write_marked(Marker::I16, (value as i16).to_be_bytes(), to),
        -0x8000_0000..=-0x8001 => write_marked(Marker::I32, (value as i32).to_be_bytes(), to),
        _ => write_marked(Marker::I64, value.to_be_bytes(), to),
    }
}

#[inline]
pub(crate) fn write_marked<const N: usize>(marker: Marker, content: [u8; N], to: &mut Vec<u8>) {
    let mut bytes = [0; 17];
    bytes[0] = marker.to_u8();
    bytes[1..=N].copy_from_slice(&content);
    to.extend_from_slice(&bytes[..=N]);
}

pub(crate) fn write_wide(kind: i8, content: [u8; 16], to: &mut Vec<u8>) {
    to.extend_from_slice(&[Marker::FixExt16.to_u8(), kind as u8]);
    to.extend_from_slice(&content);
}
