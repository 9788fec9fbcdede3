//! Sequences, tuples, maps and structs while they are being written.

use serde::{
    Serialize,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

use super::{
    encode::Encoder,
    failure::{Failure, Result},
    format::{Head, Input, Kind, write_str},
};

/// An array or a map that is being written.
#[derive(Debug)]
pub(super) struct Compound<'a, 'b> {
    encoder: &'a mut Encoder<'b>,
    kind: Kind,
    head_at: usize,
    head_length: usize,
    announced: usize,
    written: usize,
    /// Where a key begins that has no value yet.
    key_at: Option<usize>,
    variant: Option<&'static str>,
}

impl<'a, 'b> Compound<'a, 'b> {
    #[inline]
    pub(super) fn begin(
        encoder: &'a mut Encoder<'b>,
        kind: Kind,
        length: Option<usize>,
    ) -> Result<Self> {
        encoder.deepen()?;
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

    /// Makes it the content of a variant, whose own map ends with it.
    pub(super) fn of_variant(mut self, name: &'static str) -> Self {
        self.variant = Some(name);
        self
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let start = self.encoder.to.len();
        match self.encoder.part(start, value) {
            Ok(()) => {
                self.written += 1;
                Ok(())
            }
            Err(failure) => Err(self.located(failure.at_bracketed(self.written))),
        }
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        let start = self.encoder.to.len();
        write_str(name, self.encoder.to)?;
        match self.encoder.part(start, value) {
            Ok(()) => {
                self.written += 1;
                Ok(())
            }
            Err(failure) => Err(self.located(failure.at_name(name))),
        }
    }

    #[inline]
    fn finish(self) -> Result<()> {
        if self.key_at.is_some() {
            return Err(self.located(Failure::new("a key was written without a value")));
        }
        if self.written != self.announced {
            let head = Head::new(self.kind, self.written)?;
            self.encoder.replace_head(self.head_at, self.head_length, head);
        }
        self.encoder.depth -= if self.variant.is_some() { 2 } else { 1 };
        Ok(())
    }

    #[cold]
    fn located(&self, failure: Failure) -> Failure {
        match self.variant {
            Some(name) => failure.at_name(name),
            None => failure,
        }
    }
}

impl SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = Failure;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        if self.key_at.is_some() {
            return Err(Failure::new("a key was written without a value"));
        }
        let start = self.encoder.to.len();
        self.encoder.part(start, key)?;
        self.key_at = Some(start);
        Ok(())
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let Some(start) = self.key_at.take() else {
            return Err(Failure::new("a value was written without a key"));
        };
        let end = self.encoder.to.len();
        if let Err(failure) = self.encoder.part(end, value) {
            let failure = failure.at_key(Input { rest: &self.encoder.to[start..] });
            self.encoder.to.truncate(start);
            return Err(failure);
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
            type Error = Failure;

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
            type Error = Failure;

            #[inline]
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
