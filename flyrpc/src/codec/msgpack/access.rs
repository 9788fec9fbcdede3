//! The values that the decoder passes to visitors: the elements of an array, the entries of a map, and a
//! variant.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor, value::BorrowedStrDeserializer,
};

use super::{
    decoder::{Decoder, Offset},
    error::{CodecError, Result},
    token::at_key,
};

/// The elements of an array.
#[derive(Debug)]
pub(crate) struct Elements<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    /// The offset of the last element.
    at: Offset,
    read: usize,
    count: usize,
    announced: usize,
}

impl<'a, 'de> Elements<'a, 'de> {
    #[inline]
    pub(crate) fn new(decoder: &'a mut Decoder<'de>, count: usize) -> Self {
        let announced = decoder.size_hint(count);
        let at = decoder.offset();
        Elements { decoder, at, read: 0, count, announced }
    }

    /// Refuses elements that the visitor did not read.
    #[inline]
    pub(crate) fn finish(self) -> Result<()> {
        if self.read == self.count {
            Ok(())
        } else {
            Err(unread("elements", self.read, self.count))
        }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = CodecError;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.read == self.count {
            return Ok(None);
        }
        let index = self.read;
        self.read += 1;
        self.decoder.resume(self.at);
        self.at = self.decoder.offset();
        match self.decoder.value(seed) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(error.at_bracketed(index)),
        }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.announced.saturating_sub(self.read))
    }
}

/// The elements of a byte string, for a visitor that expects a sequence of integers.
#[derive(Debug)]
pub(crate) struct ByteElements<'de> {
    bytes: &'de [u8],
    read: usize,
}

impl<'de> ByteElements<'de> {
    pub(crate) fn new(bytes: &'de [u8]) -> Self {
        ByteElements { bytes, read: 0 }
    }

    pub(crate) fn finish(self) -> Result<()> {
        let count = self.bytes.len();
        if self.read == count { Ok(()) } else { Err(unread("bytes", self.read, count)) }
    }
}

impl<'de> SeqAccess<'de> for ByteElements<'de> {
    type Error = CodecError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some(byte) = self.bytes.get(self.read) else { return Ok(None) };
        let index = self.read;
        self.read += 1;
        // A byte may be decoded as any type that an integer may be decoded as.
        let mut decoder = Decoder::new(&INTEGERS[usize::from(*byte)]);
        match decoder.value(seed) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(error.at_bracketed(index)),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.len() - self.read)
    }
}

/// The encoding of every byte as an integer.
static INTEGERS: [[u8; 2]; 256] = {
    // The marker of an 8-bit integer; `Marker::to_u8` is not const.
    let mut integers = [[0xcc, 0]; 256];
    let mut byte = 0;
    while byte < 256 {
        integers[byte][1] = byte as u8;
        byte += 1;
    }
    integers
};

/// The entries of a map.
#[derive(Debug)]
pub(crate) struct Entries<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    left: usize,
    announced: usize,
    /// The fields of the struct that have not been read, if they were written in the order of their declaration.
    fields: std::slice::Iter<'static, &'static str>,
    /// The offset of the last key.
    key: Offset,
    /// The offset of the last key or value.
    at: Offset,
    /// Whether the value of the last key has not been read yet.
    value_due: bool,
}

impl<'a, 'de> Entries<'a, 'de> {
    #[inline]
    pub(crate) fn new(
        decoder: &'a mut Decoder<'de>,
        count: usize,
        fields: &'static [&'static str],
    ) -> Self {
        let announced = decoder.size_hint(count);
        let key = decoder.offset();
        let fields = fields.iter();
        Entries { decoder, left: count, announced, fields, key, at: key, value_due: false }
    }

    /// Refuses entries that the visitor did not read.
    #[inline]
    pub(crate) fn finish(self) -> Result<()> {
        if self.left > 0 || self.value_due {
            return Err(CodecError::new("a map has more entries than were expected"));
        }
        Ok(())
    }
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = CodecError;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.value_due {
            return Err(self.decoder.fail(CodecError::new("a key was read without its value")));
        }
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.value_due = true;
        self.decoder.resume(self.at);
        self.key = self.decoder.offset();
        self.at = self.key;
        self.decoder.expected_name = self.fields.next().copied();
        let key = self.decoder.value(seed);
        self.decoder.expected_name = None;
        match key {
            Ok(key) => Ok(Some(key)),
            Err(error) => Err(at_key(error, self.decoder.input_at(self.key))),
        }
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        if !self.value_due {
            return Err(self.decoder.fail(CodecError::new("a value was read without its key")));
        }
        self.value_due = false;
        self.decoder.resume(self.at);
        self.at = self.decoder.offset();
        match self.decoder.value(seed) {
            Ok(value) => Ok(value),
            Err(error) => Err(at_key(error, self.decoder.input_at(self.key))),
        }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.announced.min(self.left))
    }
}

/// A variant without content.
#[derive(Debug)]
pub(crate) struct UnitVariant<'de> {
    name: &'de str,
}

impl<'de> UnitVariant<'de> {
    pub(crate) fn new(name: &'de str) -> Self {
        UnitVariant { name }
    }

    fn lacks<T>(self, content: &str) -> Result<T> {
        let error = CodecError::invalid_type(Unexpected::UnitVariant, &content);
        Err(error.at_name(self.name))
    }
}

impl<'de> EnumAccess<'de> for UnitVariant<'de> {
    type Error = CodecError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        Ok((seed.deserialize(BorrowedStrDeserializer::new(self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for UnitVariant<'de> {
    type Error = CodecError;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _seed: S) -> Result<S::Value> {
        self.lacks("a variant with a value")
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, _visitor: V) -> Result<V::Value> {
        self.lacks("a variant with a tuple of values")
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value> {
        self.lacks("a variant with fields")
    }
}

/// A variant with content, which follows in the input.
#[derive(Debug)]
pub(crate) struct DataVariant<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    name: &'de str,
    read: &'a mut bool,
}

impl<'a, 'de> DataVariant<'a, 'de> {
    pub(crate) fn new(decoder: &'a mut Decoder<'de>, name: &'de str, read: &'a mut bool) -> Self {
        DataVariant { decoder, name, read }
    }
}

impl<'de> EnumAccess<'de> for DataVariant<'_, 'de> {
    type Error = CodecError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        Ok((seed.deserialize(BorrowedStrDeserializer::new(self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for DataVariant<'_, 'de> {
    type Error = CodecError;

    fn unit_variant(self) -> Result<()> {
        let error = CodecError::invalid_type(
            Unexpected::Other("a variant with content"),
            &"a variant without content",
        );
        Err(error.at_name(self.name))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        *self.read = true;
        self.decoder.value(seed).map_err(|error| error.at_name(self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        *self.read = true;
        self.decoder.deserialize_tuple(length, visitor).map_err(|error| error.at_name(self.name))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        *self.read = true;
        self.decoder
            .deserialize_struct("", fields, visitor)
            .map_err(|error| error.at_name(self.name))
    }
}

#[cold]
fn unread(what: &str, read: usize, count: usize) -> CodecError {
    CodecError::new(format_args!("{count} {what} where {read} were expected"))
}
