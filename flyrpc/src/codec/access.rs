//! What the decoder lends to visitors: the elements of an array, the entries of a map, a variant.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor, value::BorrowedStrDeserializer,
};

use super::{
    decode::{Decoder, Position},
    failure::{Failure, Result},
};

/// The elements of an array.
#[derive(Debug)]
pub(super) struct Elements<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    /// Where the last element began.
    at: Position,
    read: usize,
    count: usize,
    announced: usize,
}

impl<'a, 'de> Elements<'a, 'de> {
    #[inline]
    pub(super) fn new(decoder: &'a mut Decoder<'de>, count: usize) -> Self {
        let announced = decoder.announce(count);
        let at = decoder.position();
        Elements { decoder, at, read: 0, count, announced }
    }

    /// Refuses elements that the visitor has not asked for.
    #[inline]
    pub(super) fn finish(self) -> Result<()> {
        if self.read == self.count {
            Ok(())
        } else {
            Err(unread("elements", self.read, self.count))
        }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Failure;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.read == self.count {
            return Ok(None);
        }
        let index = self.read;
        self.read += 1;
        self.decoder.resume(self.at);
        self.at = self.decoder.position();
        match self.decoder.value(seed) {
            Ok(value) => Ok(Some(value)),
            Err(failure) => Err(failure.at_bracketed(index)),
        }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.announced.saturating_sub(self.read))
    }
}

/// Bytes, where a sequence of integers was expected.
#[derive(Debug)]
pub(super) struct ByteElements<'de> {
    bytes: &'de [u8],
    read: usize,
}

impl<'de> ByteElements<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        ByteElements { bytes, read: 0 }
    }

    pub(super) fn finish(self) -> Result<()> {
        let count = self.bytes.len();
        if self.read == count { Ok(()) } else { Err(unread("bytes", self.read, count)) }
    }
}

impl<'de> SeqAccess<'de> for ByteElements<'de> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some(byte) = self.bytes.get(self.read) else { return Ok(None) };
        let index = self.read;
        self.read += 1;
        // What a byte may be read as is what an integer may be read as.
        let mut decoder = Decoder::new(&INTEGERS[usize::from(*byte)]);
        match decoder.value(seed) {
            Ok(value) => Ok(Some(value)),
            Err(failure) => Err(failure.at_bracketed(index)),
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
pub(super) struct Entries<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    left: usize,
    announced: usize,
    /// Where the last key began.
    key: Position,
    /// Where the last key or value began.
    at: Position,
    /// Whether its value was not read yet.
    value_due: bool,
}

impl<'a, 'de> Entries<'a, 'de> {
    #[inline]
    pub(super) fn new(decoder: &'a mut Decoder<'de>, count: usize) -> Self {
        let announced = decoder.announce(count);
        let key = decoder.position();
        Entries { decoder, left: count, announced, key, at: key, value_due: false }
    }

    /// Refuses entries that the visitor has not asked for.
    #[inline]
    pub(super) fn finish(self) -> Result<()> {
        if self.left > 0 || self.value_due {
            return Err(Failure::new("a map has more entries than were expected"));
        }
        Ok(())
    }
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Failure;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.value_due {
            return Err(self.decoder.fail(Failure::new("a key was read without its value")));
        }
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.value_due = true;
        self.decoder.resume(self.at);
        self.key = self.decoder.position();
        self.at = self.key;
        match self.decoder.value(seed) {
            Ok(key) => Ok(Some(key)),
            Err(failure) => Err(failure.at_key(self.decoder.input_at(self.key))),
        }
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        if !self.value_due {
            return Err(self.decoder.fail(Failure::new("a value was read without its key")));
        }
        self.value_due = false;
        self.decoder.resume(self.at);
        self.at = self.decoder.position();
        match self.decoder.value(seed) {
            Ok(value) => Ok(value),
            Err(failure) => Err(failure.at_key(self.decoder.input_at(self.key))),
        }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.announced.min(self.left))
    }
}

/// A variant without content.
#[derive(Debug)]
pub(super) struct Name<'de> {
    name: &'de str,
}

impl<'de> Name<'de> {
    pub(super) fn new(name: &'de str) -> Self {
        Name { name }
    }

    fn lacks<T>(self, content: &str) -> Result<T> {
        let failure = Failure::invalid_type(Unexpected::UnitVariant, &content);
        Err(failure.at_name(self.name))
    }
}

impl<'de> EnumAccess<'de> for Name<'de> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        Ok((seed.deserialize(BorrowedStrDeserializer::new(self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Name<'de> {
    type Error = Failure;

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

/// A variant with content, which is next in the input.
#[derive(Debug)]
pub(super) struct Content<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    name: &'de str,
    read: &'a mut bool,
}

impl<'a, 'de> Content<'a, 'de> {
    pub(super) fn new(decoder: &'a mut Decoder<'de>, name: &'de str, read: &'a mut bool) -> Self {
        Content { decoder, name, read }
    }
}

impl<'de> EnumAccess<'de> for Content<'_, 'de> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        Ok((seed.deserialize(BorrowedStrDeserializer::new(self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Content<'_, 'de> {
    type Error = Failure;

    fn unit_variant(self) -> Result<()> {
        let failure = Failure::invalid_type(
            Unexpected::Other("a variant with content"),
            &"a variant without content",
        );
        Err(failure.at_name(self.name))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        *self.read = true;
        self.decoder.value(seed).map_err(|failure| failure.at_name(self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        *self.read = true;
        self.decoder
            .deserialize_tuple(length, visitor)
            .map_err(|failure| failure.at_name(self.name))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        *self.read = true;
        self.decoder
            .deserialize_struct("", fields, visitor)
            .map_err(|failure| failure.at_name(self.name))
    }
}

#[cold]
fn unread(what: &str, read: usize, count: usize) -> Failure {
    Failure::new(format_args!("{count} {what} where {read} were expected"))
}
