//! Implements [`Deserializer`] for [`Decoder`]: decodes each kind of value in serde's data model. Each
//! method accepts only the tokens of its own kind. Only [`deserialize_any`] accepts all tokens.
//!
//! [`deserialize_any`]: Deserializer::deserialize_any

use serde::de::{Deserializer, Unexpected, Visitor, value::UnitDeserializer};

use super::{
    access::{ByteElements, DataVariant, Elements, Entries, UnitVariant},
    decoder::{Buffering, Decoder},
    error::{CodecError, Result},
    format::NIL,
    json_number::JsonNumber,
    token::Token,
};

/// The name of `RawValue` of `serde_json`, which serializes itself as a struct with one field of this name, and
/// deserializes itself from a map.
const JSON_TEXT: &str = "$serde_json::private::RawValue";

impl<'de> Decoder<'de> {
    #[inline]
    fn elements<V: Visitor<'de>>(&mut self, count: usize, visitor: V) -> Result<V::Value> {
        self.nested(|decoder| {
            let mut elements = Elements::new(decoder, count);
            let value = visitor.visit_seq(&mut elements)?;
            elements.finish()?;
            Ok(value)
        })
    }

    /// Passes bytes to a visitor of a sequence, because a `Vec<u8>` may have become a `bytes::Bytes`.
    fn byte_elements<V: Visitor<'de>>(&mut self, bytes: &'de [u8], visitor: V) -> Result<V::Value> {
        self.nested(|_| {
            let mut elements = ByteElements::new(bytes);
            let value = visitor.visit_seq(&mut elements)?;
            elements.finish()?;
            Ok(value)
        })
    }

    #[inline]
    fn entries<V: Visitor<'de>>(
        &mut self,
        count: usize,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.nested(|decoder| {
            let mut entries = Entries::new(decoder, count, fields);
            let value = visitor.visit_map(&mut entries)?;
            entries.finish()?;
            Ok(value)
        })
    }

    /// Passes an integer of more than 32 bits to a visitor that accepts any kind of value.
    fn large_integer<V: Visitor<'de>>(&self, value: u64, visitor: V) -> Result<V::Value> {
        match (self.buffering, i64::try_from(value)) {
            (Buffering::Plain, _) | (_, Err(_)) => visitor.visit_u64(value),
            (_, Ok(value)) => visitor.visit_i64(value),
        }
    }

    /// Reads the number of a map of one entry that serde_json wrote for a number, if it is such a map.
    fn json_number(&mut self) -> Result<Option<JsonNumber>> {
        JsonNumber::read(&mut self.input).map_err(|error| self.fail(error))
    }

    fn variant_with_content<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.nested(|decoder| {
            let Token::Str(name) = decoder.token()? else {
                return Err(CodecError::new("the variant is not given by name"));
            };
            let mut read = false;
            let value = visitor.visit_enum(DataVariant::new(decoder, name, &mut read))?;
            if read {
                Ok(value)
            } else {
                Err(CodecError::new("the content of the variant was not read"))
            }
        })
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $ty:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            if let Some(found) = self.input.unsigned() {
                return match $ty::try_from(found) {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(self.invalid_value(Unexpected::Unsigned(found), &visitor)),
                };
            }
            match self.token()? {
                Token::Unsigned(found) => match $ty::try_from(found) {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(self.invalid_value(Unexpected::Unsigned(found), &visitor)),
                },
                Token::Negative(found) => match $ty::try_from(found) {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(self.invalid_value(Unexpected::Signed(found), &visitor)),
                },
                found => Err(self.invalid_type(found, &visitor)),
            }
        }
    )*};
}

macro_rules! wide_integers {
    ($($method:ident $visit:ident $ty:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            let found = self.token()?;
            let value = match found {
                Token::Unsigned(value) => $ty::from(value),
                Token::Negative(value) if $ty::MIN != 0 => value as $ty,
                Token::WideUnsigned(bytes) => match $ty::try_from(u128::from_be_bytes(*bytes)) {
                    Ok(value) => value,
                    Err(_) => return Err(self.invalid_value(found.unexpected(), &visitor)),
                },
                Token::WideSigned(bytes) => match $ty::try_from(i128::from_be_bytes(*bytes)) {
                    Ok(value) => value,
                    Err(_) => return Err(self.invalid_value(found.unexpected(), &visitor)),
                },
                found => return Err(self.invalid_type(found, &visitor)),
            };
            visitor.$visit(value)
        }
    )*};
}

/// Decodes a float from an integer or either float type, if it is exactly the same number.
macro_rules! floats {
    ($($method:ident $visit:ident $ty:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            let found = match self.input.f64() {
                Some(value) => Token::F64(value),
                None => self.token()?,
            };
            let value = match found {
                Token::F64(value) => Some(value as $ty)
                    .filter(|same| f64::from(*same) == value || value.is_nan()),
                Token::F32(value) => Some(value.into()),
                Token::Unsigned(value) => {
                    Some(value as $ty).filter(|same| *same as u128 == value.into())
                }
                Token::Negative(value) => {
                    Some(value as $ty).filter(|same| *same as i128 == value.into())
                }
                found => return Err(self.invalid_type(found, &visitor)),
            };
            match value {
                Some(value) => visitor.$visit(value),
                None => Err(self.fail(inexact(found, stringify!($ty)))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = CodecError;

    /// Integers up to `u32::MAX` are passed as `u32`, because serde reads a buffered `u8` or `u64` as the index
    /// of a field or variant, but no other integer. For visitors that implement `visit_u64` only, the methods
    /// are equivalent.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.used_any = true;
        match self.token()? {
            Token::Unsigned(value) => match u32::try_from(value) {
                Ok(value) => visitor.visit_u32(value),
                Err(_) => self.large_integer(value, visitor),
            },
            Token::Negative(value) => visitor.visit_i64(value),
            Token::WideUnsigned(value) => visitor.visit_u128(u128::from_be_bytes(*value)),
            Token::WideSigned(value) => visitor.visit_i128(i128::from_be_bytes(*value)),
            Token::F32(value) => visitor.visit_f32(value),
            Token::F64(value) => visitor.visit_f64(value),
            Token::Bool(value) => visitor.visit_bool(value),
            Token::Str(value) => visitor.visit_borrowed_str(value),
            Token::Some => self.wrapped(|decoder| visitor.visit_some(decoder)),
            Token::Array(count) => self.elements(count, visitor),
            Token::Map(1) => match self.json_number()? {
                Some(JsonNumber::Unsigned(value)) => visitor.visit_u64(value),
                Some(JsonNumber::Negative(value)) => visitor.visit_i64(value),
                Some(JsonNumber::Float(value)) => visitor.visit_f64(value),
                None => self.entries(1, &[], visitor),
            },
            Token::Map(count) => self.entries(count, &[], visitor),
            Token::Bytes(value) => match self.buffering {
                Buffering::Plain => visitor.visit_borrowed_bytes(value),
                _ => self.byte_elements(value, visitor),
            },
            Token::Unit => match self.buffering {
                Buffering::Plain | Buffering::Distinct => visitor.visit_unit(),
                Buffering::UnitAsSome => visitor.visit_some(UnitDeserializer::new()),
                Buffering::UnitAsMap => self.entries(0, &[], visitor),
            },
            Token::None => match self.buffering {
                // Like null in JSON, which types that accept any value support.
                Buffering::Plain => visitor.visit_unit(),
                _ => visitor.visit_none(),
            },
        }
    }

    integers! {
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
    }

    wide_integers! {
        deserialize_u128 visit_u128 u128
        deserialize_i128 visit_i128 i128
    }

    floats! {
        deserialize_f32 visit_f32 f32
        deserialize_f64 visit_f64 f64
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if let Some(value) = self.input.bool() {
            return visitor.visit_bool(value);
        }
        match self.token()? {
            Token::Bool(value) => visitor.visit_bool(value),
            found => Err(self.invalid_type(found, &visitor)),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if let Some(value) = self.input.short_str() {
            return visitor.visit_borrowed_str(value);
        }
        match self.token()? {
            Token::Str(value) => visitor.visit_borrowed_str(value),
            found => Err(self.invalid_type(found, &visitor)),
        }
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    /// Accepts only names. Derived fields and variants would also accept an index, but its meaning changes
    /// with the order of declaration.
    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        // A struct's fields are usually in order, and comparing a name takes less time than validating it.
        if let Some(name) = self.expected_name
            && self.input.skip_short_str(name)
        {
            return visitor.visit_borrowed_str(name);
        }
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            Token::Bytes(value) => visitor.visit_borrowed_bytes(value),
            // A `bytes::Bytes` may have been a `Vec<u8>`.
            Token::Array(count) => self.elements(count, visitor),
            found => Err(self.invalid_type(found, &visitor)),
        }
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.input.skip_prefix(&[NIL]) {
            return visitor.visit_none();
        }
        self.input.skip_some();
        self.wrapped(|decoder| visitor.visit_some(decoder))
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            Token::Unit => visitor.visit_unit(),
            found => Err(self.invalid_type(found, &visitor)),
        }
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        if name == JSON_TEXT {
            return self.deserialize_map(visitor);
        }
        self.wrapped(|decoder| visitor.visit_newtype_struct(decoder))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if let Some(count) = self.input.short_array() {
            return self.elements(count, visitor);
        }
        match self.token()? {
            Token::Array(count) => self.elements(count, visitor),
            Token::Bytes(bytes) => self.byte_elements(bytes, visitor),
            found => Err(self.invalid_type(found, &visitor)),
        }
    }

    /// The visitor checks for missing elements, because it may have defaults for the last ones.
    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            Token::Map(count) => self.entries(count, &[], visitor),
            found => Err(self.invalid_type(found, &visitor)),
        }
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if let Some(count) = self.input.short_map() {
            return self.entries(count, fields, visitor);
        }
        match self.token()? {
            Token::Map(count) => self.entries(count, fields, visitor),
            found => Err(self.invalid_type(found, &visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.token()? {
            Token::Str(name) => visitor.visit_enum(UnitVariant::new(name)),
            Token::Map(1) => self.variant_with_content(visitor),
            found => Err(self.invalid_type(found, &visitor)),
        }
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.input.skip().map_err(|error| self.fail(error))?;
        visitor.visit_unit()
    }
}

#[cold]
fn inexact(found: Token<'_>, ty: &str) -> CodecError {
    CodecError::new(format_args!("{} cannot be represented exactly as {ty}", found.unexpected()))
}
