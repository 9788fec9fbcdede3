//! The encoder: a [`Serializer`] that appends to a buffer.
//!
//! Written for flyrpc rather than built on rmp-serde's, which writes a unit as it writes none,
//! believes a `Serialize` that announces one length and writes another, recurses as deep as a value
//! goes, and does not say where in a value an error arose.
//!
//! Whatever a `Serialize` does, what is left in the buffer is a well-formed value or cut off again:
//! lengths are counted, and an element whose `Serialize` failed is removed, should its container
//! carry on without it.

use std::fmt::{self, Display};

use rmp::Marker;
use serde::{Serialize, Serializer};

use super::{
    compound::Compound,
    failure::{Failure, Result},
    format::{self, Head, Kind, MAX_DEPTH, MAX_WRAPPERS, NIL, SOME_NONE, UNIT, ext},
};

/// Appends values to a buffer.
#[derive(Debug)]
pub(super) struct Encoder<'a> {
    pub(super) to: &'a mut Vec<u8>,
    pub(super) depth: usize,
    wrappers: usize,
}

/// What was written, as far as a map of arguments cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// A none, and nothing else.
    None,
    /// A value.
    Value,
}

/// Appends the encoding of `value`; if that fails, nothing.
#[inline]
pub(super) fn write<T: Serialize + ?Sized>(value: &T, to: &mut Vec<u8>) -> Result<Written> {
    let start = to.len();
    let mut encoder = Encoder { to, depth: 0, wrappers: 0 };
    if let Err(failure) = value.serialize(&mut encoder) {
        to.truncate(start);
        return Err(failure);
    }
    Ok(if to[start..] == [NIL] { Written::None } else { Written::Value })
}

impl Encoder<'_> {
    /// Writes a value within a container. If it fails, what it wrote since `start` is removed.
    #[inline]
    pub(super) fn part<T: Serialize + ?Sized>(&mut self, start: usize, value: &T) -> Result<()> {
        let (depth, wrappers) = (self.depth, self.wrappers);
        value.serialize(&mut *self).inspect_err(|_| {
            self.to.truncate(start);
            self.depth = depth;
            self.wrappers = wrappers;
        })
    }

    #[inline]
    pub(super) fn deepen(&mut self) -> Result<()> {
        if self.depth == MAX_DEPTH {
            return Err(Failure::new(format_args!("more than {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        Ok(())
    }

    /// Replaces the head at `start`, which is `old` bytes long.
    pub(super) fn replace_head(&mut self, start: usize, old: usize, new: Head) {
        self.to.splice(start..start + old, new.as_bytes().iter().copied());
    }

    #[inline]
    fn wrapped<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if self.wrappers == MAX_WRAPPERS {
            return Err(Failure::new(format_args!("more than {MAX_WRAPPERS} options deep")));
        }
        self.wrappers += 1;
        let result = value.serialize(&mut *self);
        self.wrappers -= 1;
        result
    }

    /// Begins the one-entry map that a variant with content is.
    fn variant(&mut self, name: &'static str) -> Result<()> {
        self.deepen()?;
        Head::new(Kind::Map, 1)?.write(self.to);
        format::write_str(name, self.to)
    }
}

macro_rules! integers {
    ($($method:ident: $ty:ty => $write:ident)*) => {$(
        #[inline]
        fn $method(self, value: $ty) -> Result<()> {
            format::$write(value.into(), self.to);
            Ok(())
        }
    )*};
}

impl<'a, 'b> Serializer for &'a mut Encoder<'b> {
    type Ok = ();
    type Error = Failure;
    type SerializeSeq = Compound<'a, 'b>;
    type SerializeTuple = Compound<'a, 'b>;
    type SerializeTupleStruct = Compound<'a, 'b>;
    type SerializeTupleVariant = Compound<'a, 'b>;
    type SerializeMap = Compound<'a, 'b>;
    type SerializeStruct = Compound<'a, 'b>;
    type SerializeStructVariant = Compound<'a, 'b>;

    integers! {
        serialize_u8: u8 => write_unsigned
        serialize_u16: u16 => write_unsigned
        serialize_u32: u32 => write_unsigned
        serialize_u64: u64 => write_unsigned
        serialize_i8: i8 => write_signed
        serialize_i16: i16 => write_signed
        serialize_i32: i32 => write_signed
        serialize_i64: i64 => write_signed
    }

    fn serialize_u128(self, value: u128) -> Result<()> {
        match u64::try_from(value) {
            Ok(value) => format::write_unsigned(value, self.to),
            Err(_) => format::write_wide(ext::WIDE_UNSIGNED, value.to_be_bytes(), self.to),
        }
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<()> {
        // One value has one encoding, whatever its type, so that widening and narrowing work.
        if let Ok(value) = u128::try_from(value) {
            return self.serialize_u128(value);
        }
        match i64::try_from(value) {
            Ok(value) => format::write_signed(value, self.to),
            Err(_) => format::write_wide(ext::WIDE_SIGNED, value.to_be_bytes(), self.to),
        }
        Ok(())
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<()> {
        self.to.push(if value { Marker::True } else { Marker::False }.to_u8());
        Ok(())
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<()> {
        format::marked(Marker::F32, value.to_be_bytes(), self.to);
        Ok(())
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<()> {
        format::marked(Marker::F64, value.to_be_bytes(), self.to);
        Ok(())
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<()> {
        format::write_str(value.encode_utf8(&mut [0; 4]), self.to)
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<()> {
        format::write_str(value, self.to)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<()> {
        let start = self.to.len();
        let head = Head::new(Kind::Str, 0)?;
        head.write(self.to);
        let content = self.to.len();
        if fmt::write(&mut Text(self.to), format_args!("{value}")).is_err() {
            return Err(Failure::new("its `Display` failed"));
        }
        let new = Head::new(Kind::Str, self.to.len() - content)?;
        self.replace_head(start, head.as_bytes().len(), new);
        Ok(())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        Head::new(Kind::Bytes, value.len())?.write(self.to);
        self.to.extend_from_slice(value);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        self.to.push(NIL);
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        let start = self.to.len();
        self.wrapped(value)?;
        if self.to[start..] == [NIL] {
            self.to.truncate(start);
            self.to.extend_from_slice(&SOME_NONE);
        } else if self.to[start..] == SOME_NONE {
            return Err(Failure::new("an option within an option within an option"));
        }
        Ok(())
    }

    #[inline]
    fn serialize_unit(self) -> Result<()> {
        self.to.extend_from_slice(&UNIT);
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<()> {
        format::write_str(variant, self.to)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<()> {
        self.wrapped(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.variant(variant)?;
        value.serialize(&mut *self).map_err(|failure| failure.at_name(variant))?;
        self.depth -= 1;
        Ok(())
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Compound<'a, 'b>> {
        Compound::begin(self, Kind::Array, length)
    }

    #[inline]
    fn serialize_tuple(self, length: usize) -> Result<Compound<'a, 'b>> {
        Compound::begin(self, Kind::Array, Some(length))
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        length: usize,
    ) -> Result<Compound<'a, 'b>> {
        Compound::begin(self, Kind::Array, Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'a, 'b>> {
        self.variant(variant)?;
        Compound::begin(self, Kind::Array, Some(length)).map(|it| it.of_variant(variant))
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Compound<'a, 'b>> {
        Compound::begin(self, Kind::Map, length)
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, length: usize) -> Result<Compound<'a, 'b>> {
        Compound::begin(self, Kind::Map, Some(length))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'a, 'b>> {
        self.variant(variant)?;
        Compound::begin(self, Kind::Map, Some(length)).map(|it| it.of_variant(variant))
    }
}

/// Takes text straight into the buffer.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
