//! Reads the arguments of a request from the fields of a struct variant.

use std::{fmt, marker::PhantomData};

use serde::{
    de::{
        DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess,
        Visitor,
    },
    forward_to_deserialize_any,
};

/// The fields of a variant.
pub trait Fields<'de>: Sized {
    /// The values of the fields, as nested pairs: `(first, (second, ()))`.
    type Values;

    /// Reads all fields from a sequence. `index` is the position of the first of them.
    fn read_seq<A: SeqAccess<'de>>(
        self,
        seq: &mut A,
        index: usize,
        names: &'static [&'static str],
    ) -> Result<Self::Values, A::Error>;

    /// Reads the field at `index` from a map whose key has been read.
    fn read_entry<A: MapAccess<'de>>(
        &mut self,
        map: &mut A,
        index: usize,
        name: &'static str,
    ) -> Result<(), A::Error>;

    /// Returns the values. The value of an absent field is `None` if its type is an `Option`.
    fn finish<E: Error>(self, names: &'static [&'static str]) -> Result<Self::Values, E>;
}

impl<'de> Fields<'de> for () {
    type Values = ();

    fn read_seq<A: SeqAccess<'de>>(
        self,
        _: &mut A,
        _: usize,
        _: &'static [&'static str],
    ) -> Result<(), A::Error> {
        Ok(())
    }

    fn read_entry<A: MapAccess<'de>>(
        &mut self,
        map: &mut A,
        _: usize,
        _: &'static str,
    ) -> Result<(), A::Error> {
        map.next_value::<IgnoredAny>().map(drop)
    }

    fn finish<E: Error>(self, _: &'static [&'static str]) -> Result<(), E> {
        Ok(())
    }
}

/// The first of several fields. Its type is `T`.
#[derive(Debug)]
pub(crate) struct Field<T, Rest> {
    value: Option<T>,
    rest: Rest,
}

impl<T, Rest> Field<T, Rest> {
    pub(crate) fn before(rest: Rest) -> Self {
        Field { value: None, rest }
    }
}

impl<'de, T: DeserializeOwned, Rest: Fields<'de>> Fields<'de> for Field<T, Rest> {
    type Values = (T, Rest::Values);

    fn read_seq<A: SeqAccess<'de>>(
        self,
        seq: &mut A,
        index: usize,
        names: &'static [&'static str],
    ) -> Result<Self::Values, A::Error> {
        let expected = ExpectedFields(names.len());
        let first =
            seq.next_element()?.ok_or_else(|| A::Error::invalid_length(index, &expected))?;
        Ok((first, self.rest.read_seq(seq, index + 1, names)?))
    }

    fn read_entry<A: MapAccess<'de>>(
        &mut self,
        map: &mut A,
        index: usize,
        name: &'static str,
    ) -> Result<(), A::Error> {
        if index > 0 {
            return self.rest.read_entry(map, index - 1, name);
        }
        if self.value.is_some() {
            return Err(A::Error::duplicate_field(name));
        }
        self.value = Some(map.next_value()?);
        Ok(())
    }

    fn finish<E: Error>(self, names: &'static [&'static str]) -> Result<Self::Values, E> {
        let (name, rest) = names.split_first().expect("a name for each field");
        let first = match self.value {
            Some(first) => first,
            None => T::deserialize(Absent { name, error: PhantomData })?,
        };
        Ok((first, self.rest.finish(rest)?))
    }
}

pub(crate) struct FieldsVisitor<F> {
    pub(crate) names: &'static [&'static str],
    pub(crate) fields: F,
}

impl<'de, F: Fields<'de>> Visitor<'de> for FieldsVisitor<F> {
    type Value = F::Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a struct variant with the fields {:?}", self.names)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<F::Values, A::Error> {
        self.fields.read_seq(&mut seq, 0, self.names)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<F::Values, A::Error> {
        while let Some(index) = map.next_key_seed(FieldIndex(self.names))? {
            let name = self.names.get(index).copied().unwrap_or_default();
            self.fields.read_entry(&mut map, index, name)?;
        }
        self.fields.finish(self.names)
    }
}

struct ExpectedFields(usize);

impl serde::de::Expected for ExpectedFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "a struct variant with {} element{plural}", self.0)
    }
}

/// Reads the name of a field as its index. The index of an unknown field is the number of fields.
struct FieldIndex(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for FieldIndex {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldIndex {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("field identifier")
    }

    fn visit_u64<E: Error>(self, index: u64) -> Result<usize, E> {
        let count = self.0.len();
        Ok(usize::try_from(index).map_or(count, |index| index.min(count)))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        let found = self.0.iter().position(|field| *field == name);
        Ok(found.unwrap_or(self.0.len()))
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<usize, E> {
        let found = self.0.iter().position(|field| field.as_bytes() == name);
        Ok(found.unwrap_or(self.0.len()))
    }
}

/// The value of an absent field. As with serde's derive macros, it is `None` for an `Option`, but not for a
/// newtype of one.
struct Absent<E> {
    name: &'static str,
    error: PhantomData<E>,
}

impl<'de, E: Error> Deserializer<'de> for Absent<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, E> {
        Err(E::missing_field(self.name))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_none()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
