//! The decoder: a strict [`Deserializer`] straight over the bytes.
//!
//! Written for flyrpc rather than wrapped around rmp-serde's, whose leniency is inside the methods
//! that would have to be wrapped: what was an array or a map, and what an integer or a name, is no
//! longer known where a wrapper could refuse it. Each method here takes what its hint names and
//! nothing else; what fits any hint is only what asked for [`deserialize_any`].
//!
//! [`deserialize_any`]: Deserializer::deserialize_any

use std::marker::PhantomData;

use serde::{
    Serialize,
    de::{Deserialize, DeserializeSeed, Deserializer, Error, Unexpected, Visitor},
};

use super::{
    access::{ByteElements, Content, Elements, Entries, Name},
    failure::{Failure, Result},
    format::{Input, MAX_DEPTH, MAX_WRAPPERS, NIL, SOME_NONE, Token},
    verify::verify,
};

/// Reads one value, and those within it.
#[derive(Debug)]
pub(super) struct Decoder<'de> {
    pub(super) input: Input<'de>,
    whole: &'de [u8],
    depth: usize,
    wrappers: usize,
    /// How many elements may still be announced to visitors, which allocate for them. No valid body
    /// has more elements than bytes.
    announceable: usize,
    /// Whether a visitor took whatever there was, as serde's does that buffers.
    guessed: bool,
    /// Whether something failed since the value at hand began, so that what follows is not known to
    /// be what follows that value.
    astray: bool,
}

/// A place in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    left: usize,
}

impl<'de> Decoder<'de> {
    #[inline]
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Decoder {
            input: Input { rest: bytes },
            whole: bytes,
            depth: 0,
            wrappers: 0,
            announceable: bytes.len(),
            guessed: false,
            astray: false,
        }
    }

    #[inline]
    pub(super) fn position(&self) -> Position {
        Position { left: self.input.rest.len() }
    }

    /// What is read from there on.
    #[cold]
    pub(super) fn input_at(&self, position: Position) -> Input<'de> {
        Input { rest: &self.whole[self.whole.len() - position.left..] }
    }

    /// Reads one value, and leaves the input behind it even if a `Deserialize` read nothing, or
    /// swallowed the error of another, as `deserialize_with = "or_default"` does.
    #[inline]
    pub(super) fn value<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let start = self.position();
        match seed.deserialize(&mut *self) {
            Ok(value) => {
                if self.astray || self.position() == start {
                    self.pass_over(start);
                }
                Ok(value)
            }
            // Usually nobody reads on, so that where to is left for `resume` to find out.
            Err(failure) => Err(self.fail(failure)),
        }
    }

    /// Reads on after the value at `start` if a visitor swallowed the error that it gave.
    #[inline]
    pub(super) fn resume(&mut self, start: Position) {
        if self.astray {
            self.pass_over(start);
        }
    }

    /// What cannot be passed over leaves nothing to read, so that no later value is taken for
    /// another, and stays astray to the end.
    #[cold]
    fn pass_over(&mut self, start: Position) {
        self.input = self.input_at(start);
        self.astray = self.input.skip().is_err();
        if self.astray {
            self.input.rest = &[];
        }
    }

    /// Reads a value that takes up all of the input, and refuses it if serde has misread it.
    #[inline]
    pub(super) fn verified<T: Deserialize<'de> + Serialize>(mut self) -> Result<T> {
        let value = self.whole()?;
        if self.guessed {
            verify(&value, self.whole)?;
        }
        Ok(value)
    }

    /// Reads a value that takes up all of the input.
    #[inline]
    pub(super) fn whole<T: Deserialize<'de>>(&mut self) -> Result<T> {
        let value = self.value(PhantomData)?;
        match self.input.rest.len() {
            _ if self.astray => Err(Failure::new("a value within cannot be passed over")),
            0 => Ok(value),
            left => Err(Failure::new(format_args!("{left} bytes are left over after the value"))),
        }
    }

    #[cold]
    pub(super) fn fail(&mut self, failure: Failure) -> Failure {
        self.astray = true;
        failure
    }

    /// So many of `count` elements as a visitor may allocate for at once.
    #[inline]
    pub(super) fn announce(&mut self, count: usize) -> usize {
        let hint = count.min(self.announceable);
        self.announceable -= hint;
        hint
    }

    #[inline]
    fn token(&mut self) -> Result<Token<'de>> {
        self.input.token().map_err(|failure| self.fail(failure))
    }

    #[cold]
    fn mismatch<V: Visitor<'de>>(&mut self, found: Token<'de>, visitor: &V) -> Failure {
        self.fail(Failure::invalid_type(found.unexpected(), visitor))
    }

    #[cold]
    fn unfit<V: Visitor<'de>>(&mut self, found: Unexpected<'_>, visitor: &V) -> Failure {
        self.fail(Failure::invalid_value(found, visitor))
    }

    #[inline]
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            let failure = Failure::new(format_args!("more than {MAX_DEPTH} levels deep"));
            return Err(self.fail(failure));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result.map_err(|failure| self.fail(failure))
    }

    #[inline]
    fn wrapped<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.wrappers == MAX_WRAPPERS {
            let failure = Failure::new(format_args!("more than {MAX_WRAPPERS} options deep"));
            return Err(self.fail(failure));
        }
        let start = self.position();
        self.wrappers += 1;
        let result = read(self);
        self.wrappers -= 1;
        self.astray |= self.position() == start;
        result
    }

    #[inline]
    fn elements<V: Visitor<'de>>(&mut self, count: usize, visitor: V) -> Result<V::Value> {
        self.deeper(|decoder| {
            let mut elements = Elements::new(decoder, count);
            let value = visitor.visit_seq(&mut elements)?;
            elements.finish()?;
            Ok(value)
        })
    }

    /// A `Vec<u8>` may have become a `bytes::Bytes`: the value is the same.
    fn byte_elements<V: Visitor<'de>>(&mut self, bytes: &'de [u8], visitor: V) -> Result<V::Value> {
        self.deeper(|_| {
            let mut elements = ByteElements::new(bytes);
            let value = visitor.visit_seq(&mut elements)?;
            elements.finish()?;
            Ok(value)
        })
    }

    #[inline]
    fn entries<V: Visitor<'de>>(&mut self, count: usize, visitor: V) -> Result<V::Value> {
        self.deeper(|decoder| {
            let mut entries = Entries::new(decoder, count);
            let value = visitor.visit_map(&mut entries)?;
            entries.finish()?;
            Ok(value)
        })
    }

    fn variant_with_content<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.deeper(|decoder| {
            let Token::Str(name) = decoder.token()? else {
                return Err(Failure::new("the variant is not given by name"));
            };
            let mut read = false;
            let value = visitor.visit_enum(Content::new(decoder, name, &mut read))?;
            if read { Ok(value) } else { Err(Failure::new("the variant's content was not read")) }
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
                    Err(_) => Err(self.unfit(Unexpected::Unsigned(found), &visitor)),
                };
            }
            match self.token()? {
                Token::Unsigned(found) => match $ty::try_from(found) {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(self.unfit(Unexpected::Unsigned(found), &visitor)),
                },
                Token::Negative(found) => match $ty::try_from(found) {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(self.unfit(Unexpected::Signed(found), &visitor)),
                },
                found => Err(self.mismatch(found, &visitor)),
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
                    Err(_) => return Err(self.unfit(found.unexpected(), &visitor)),
                },
                Token::WideSigned(bytes) => match $ty::try_from(i128::from_be_bytes(*bytes)) {
                    Ok(value) => value,
                    Err(_) => return Err(self.unfit(found.unexpected(), &visitor)),
                },
                found => return Err(self.mismatch(found, &visitor)),
            };
            visitor.$visit(value)
        }
    )*};
}

/// A float from an integer or from the other float, if it is exactly the same number.
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
                found => return Err(self.mismatch(found, &visitor)),
            };
            match value {
                Some(value) => visitor.$visit(value),
                None => Err(self.fail(inexact(found, stringify!($ty)))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.guessed = true;
        match self.token()? {
            // As JSON's null, which is what types that read anything know.
            Token::None | Token::Unit => visitor.visit_unit(),
            Token::Some => self.wrapped(|decoder| visitor.visit_some(decoder)),
            Token::Bool(value) => visitor.visit_bool(value),
            Token::Unsigned(value) => visitor.visit_u64(value),
            Token::Negative(value) => visitor.visit_i64(value),
            Token::WideUnsigned(value) => visitor.visit_u128(u128::from_be_bytes(*value)),
            Token::WideSigned(value) => visitor.visit_i128(i128::from_be_bytes(*value)),
            Token::F32(value) => visitor.visit_f32(value),
            Token::F64(value) => visitor.visit_f64(value),
            Token::Str(value) => visitor.visit_borrowed_str(value),
            Token::Bytes(value) => visitor.visit_borrowed_bytes(value),
            Token::Array(count) => self.elements(count, visitor),
            Token::Map(count) => self.entries(count, visitor),
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
        match self.token()? {
            Token::Bool(value) => visitor.visit_bool(value),
            found => Err(self.mismatch(found, &visitor)),
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
            found => Err(self.mismatch(found, &visitor)),
        }
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    /// Only by name: derived fields and variants would take an index too, and its meaning changes
    /// with the order in which they are declared.
    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            Token::Bytes(value) => visitor.visit_borrowed_bytes(value),
            // A `bytes::Bytes` may have been a `Vec<u8>`.
            Token::Array(count) => self.elements(count, visitor),
            found => Err(self.mismatch(found, &visitor)),
        }
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.input.passes(&[NIL]) {
            return visitor.visit_none();
        }
        if self.input.rest.starts_with(&SOME_NONE) {
            // All but the nil within.
            self.input.passes(&SOME_NONE[..2]);
        }
        self.wrapped(|decoder| visitor.visit_some(decoder))
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            Token::Unit => visitor.visit_unit(),
            found => Err(self.mismatch(found, &visitor)),
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
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.wrapped(|decoder| visitor.visit_newtype_struct(decoder))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            Token::Array(count) => self.elements(count, visitor),
            Token::Bytes(bytes) => self.byte_elements(bytes, visitor),
            found => Err(self.mismatch(found, &visitor)),
        }
    }

    /// Too few elements are the visitor's to refuse, since it may have defaults for the last ones.
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
            Token::Map(count) => self.entries(count, visitor),
            found => Err(self.mismatch(found, &visitor)),
        }
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.token()? {
            Token::Str(name) => visitor.visit_enum(Name::new(name)),
            Token::Map(1) => self.variant_with_content(visitor),
            found => Err(self.mismatch(found, &visitor)),
        }
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.input.skip().map_err(|failure| self.fail(failure))?;
        visitor.visit_unit()
    }
}

#[cold]
fn inexact(found: Token<'_>, ty: &str) -> Failure {
    Failure::new(format_args!("{} is not a number that {ty} holds exactly", found.unexpected()))
}
