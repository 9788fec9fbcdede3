//! Implements [`Serializer`] for [`Encoder`]: encodes each kind of value in serde's data model.

use std::fmt::{self, Display};

use rmp::Marker;
use serde::{Serialize, Serializer};

use super::{
    compound::Compound,
    encoder::Encoder,
    error::{CodecError, Result},
    format::{NESTED_SOME, NIL, SOME_NONE, UNIT, begins_with_some, ext},
    head::{self, Head, Kind},
    json_number::JSON_NUMBER,
};

macro_rules! integers {
    ($($method:ident: $ty:ty => $write:ident)*) => {$(
        #[inline]
        fn $method(self, value: $ty) -> Result<()> {
            head::$write(value.into(), self.to);
            Ok(())
        }
    )*};
}

impl<'a, 'b> Serializer for &'a mut Encoder<'b> {
    type Ok = ();
    type Error = CodecError;
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
            Ok(value) => head::write_unsigned(value, self.to),
            Err(_) => head::write_wide(ext::WIDE_UNSIGNED, value.to_be_bytes(), self.to),
        }
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<()> {
        // A number has the same encoding in all integer types, so that a field's type can be widened or
        // narrowed.
        if let Ok(value) = u128::try_from(value) {
            return self.serialize_u128(value);
        }
        match i64::try_from(value) {
            Ok(value) => head::write_signed(value, self.to),
            Err(_) => head::write_wide(ext::WIDE_SIGNED, value.to_be_bytes(), self.to),
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
        head::write_marked(Marker::F32, value.to_be_bytes(), self.to);
        Ok(())
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<()> {
        head::write_marked(Marker::F64, value.to_be_bytes(), self.to);
        Ok(())
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<()> {
        head::write_str(value.encode_utf8(&mut [0; 4]), self.to)
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<()> {
        head::write_str(value, self.to)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<()> {
        let start = self.to.len();
        let empty = Head::new(Kind::Str, 0)?;
        empty.write(self.to);
        let content = self.to.len();
        if fmt::write(&mut Text(self.to), format_args!("{value}")).is_err() {
            return Err(CodecError::new("the value's `Display` failed"));
        }
        let new = Head::new(Kind::Str, self.to.len() - content)?;
        self.replace_head(start, empty.as_bytes().len(), new);
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
        } else if begins_with_some(&self.to[start..], self.to.len() - start) {
            let Ok(length) = u8::try_from(self.to.len() - start) else {
                return Err(CodecError::new("`None` within more than 86 `Some` cannot be encoded"));
            };
            let head = [NESTED_SOME, length, ext::SOME_NONE as u8];
            self.to.splice(start..start, head);
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
        head::write_str(variant, self.to)
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
        self.begin_variant(variant)?;
        value.serialize(&mut *self).map_err(|error| error.at_name(variant))?;
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
        self.begin_variant(variant)?;
        Compound::begin(self, Kind::Array, Some(length)).map(|it| it.of_variant(variant))
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Compound<'a, 'b>> {
        Compound::begin(self, Kind::Map, length)
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, length: usize) -> Result<Compound<'a, 'b>> {
        let compound = Compound::begin(self, Kind::Map, Some(length))?;
        Ok(if name == JSON_NUMBER { compound.of_json_number() } else { compound })
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'a, 'b>> {
        self.begin_variant(variant)?;
        Compound::begin(self, Kind::Map, Some(length)).map(|it| it.of_variant(variant))
    }
}

/// Formats directly into the buffer.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
