//! Arrays and maps that are being written.

use serde::{
    Serialize,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

use super::{
    encoder::Encoder,
    error::{CodecError, Result},
    head::{Head, Kind, write_str},
    json_number::JsonNumber,
    token::{Input, at_key},
};

/// An array or a map that is being written. Its head is corrected at the end if the announced length was
/// wrong.
#[derive(Debug)]
pub(crate) struct Compound<'a, 'b> {
    encoder: &'a mut Encoder<'b>,
    kind: Kind,
    head_at: usize,
    head_length: usize,
    announced: usize,
    written: usize,
    /// The offset of a key whose value is not written yet, or [`IS_JSON_NUMBER`].
    key_at: Option<usize>,
    variant: Option<&'static str>,
}

/// Memory is reserved for the elements of arrays of at least this announced length.
const LONG: usize = 32;

/// Upper bound on the memory that is reserved for an array, in bytes.
const RESERVE_MAX: usize = 1 << 20;

/// Marks a struct that serde_json writes for a number. It is a value of `key_at`, so that the end of other
/// structs needs no additional check.
const IS_JSON_NUMBER: usize = usize::MAX;

impl<'a, 'b> Compound<'a, 'b> {
    #[inline]
    pub(crate) fn begin(
        encoder: &'a mut Encoder<'b>,
        kind: Kind,
        length: Option<usize>,
    ) -> Result<Self> {
        encoder.enter()?;
        let announced = length.unwrap_or(0);
        let head = Head::new(kind, announced)?;
        let head_at = encoder.to.len();
        head.write(encoder.to);
        Ok(Compound {
            encoder,
            kind,
            head_at,
            head_length: head.as_bytes().len(),
            announced,
            written: 0,
            key_at: None,
            variant: None,
        })
    }

    /// Makes this the content of a variant. The map of the variant ends together with the content.
    pub(crate) fn of_variant(mut self, name: &'static str) -> Self {
        self.variant = Some(name);
        self
    }

    /// Replaces the struct by the number that it contains when the struct ends.
    #[cold]
    pub(crate) fn of_json_number(mut self) -> Self {
        self.key_at = Some(IS_JSON_NUMBER);
        self
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let start = self.encoder.to.len();
        match self.encoder.element(start, value) {
            Ok(()) => {
                self.written += 1;
                if self.written == 1 && self.announced >= LONG {
                    self.reserve_rest(start);
                }
                Ok(())
            }
            Err(error) => Err(self.located(error.at_bracketed(self.written))),
        }
    }

    /// Reserves memory for the other elements, as if they took as many bytes as the first one, which starts at
    /// `start`. Otherwise, a growing buffer would be copied several times.
    fn reserve_rest(&mut self, start: usize) {
        let first = self.encoder.to.len() - start;
        let rest = first.saturating_mul(self.announced - 1);
        self.encoder.to.reserve(rest.saturating_add(rest / 8).min(RESERVE_MAX));
    }

    /// Always inlined, so that the length of `name` is a constant.
    #[inline(always)]
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        let start = self.encoder.to.len();
        write_str(name, self.encoder.to)?;
        match self.encoder.element(start, value) {
            Ok(()) => {
                self.written += 1;
                Ok(())
            }
            Err(error) => Err(self.field_failed(error, name)),
        }
    }

    #[cold]
    fn field_failed(&self, error: CodecError, name: &'static str) -> CodecError {
        self.located(error.at_name(name))
    }

    #[inline]
    fn finish(self) -> Result<()> {
        if self.key_at.is_some() {
            return self.finish_special();
        }
        if self.written != self.announced {
            let head = Head::new(self.kind, self.written)?;
            self.encoder.replace_head(self.head_at, self.head_length, head);
        }
        self.encoder.depth -= if self.variant.is_some() { 2 } else { 1 };
        Ok(())
    }

    #[cold]
    fn finish_special(self) -> Result<()> {
        if self.key_at != Some(IS_JSON_NUMBER) {
            return Err(self.located(CodecError::new("a key was written without a value")));
        }
        let to = &mut *self.encoder.to;
        let mut content = Input { rest: &to[self.head_at + self.head_length..] };
        let Some(number) = JsonNumber::read(&mut content)? else {
            return Err(CodecError::new("a JSON number does not contain a text"));
        };
        to.truncate(self.head_at);
        number.write(to);
        self.encoder.depth -= 1;
        Ok(())
    }

    #[cold]
    fn located(&self, error: CodecError) -> CodecError {
        match self.variant {
            Some(name) => error.at_name(name),
            None => error,
        }
    }
}

impl SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = CodecError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        if self.key_at.is_some() {
            return Err(CodecError::new("a key was written without a value"));
        }
        let start = self.encoder.to.len();
        self.encoder.element(start, key)?;
        self.key_at = Some(start);
        Ok(())
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let Some(start) = self.key_at.take() else {
            return Err(CodecError::new("a value was written without a key"));
        };
        let end = self.encoder.to.len();
        if let Err(error) = self.encoder.element(end, value) {
            let error = at_key(error, Input { rest: &self.encoder.to[start..] });
            self.encoder.to.truncate(start);
            return Err(error);
        }
        self.written += 1;
        Ok(())
    }

    #[inline]
    fn end(self) -> Result<()> {
        self.finish()
    }
}

macro_rules! elements {
    ($($trait:ident $method:ident)*) => {$(
        impl $trait for Compound<'_, '_> {
            type Ok = ();
            type Error = CodecError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.element(value)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.finish()
            }
        }
    )*};
}

elements! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

macro_rules! fields {
    ($($trait:ident)*) => {$(
        impl $trait for Compound<'_, '_> {
            type Ok = ();
            type Error = CodecError;

            #[inline(always)]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<()> {
                self.field(name, value)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.finish()
            }
        }
    )*};
}

fields! { SerializeStruct SerializeStructVariant }
