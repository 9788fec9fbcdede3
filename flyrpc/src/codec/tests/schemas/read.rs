//! Decodes values with the same calls that derived code makes, and from all input that derived code
//! accepts. This includes structs from sequences, and fields and variants by index.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess,
        Visitor,
    },
};

use super::{Content, Field, NAMES, Schema, Value, Variant};

impl<'de> DeserializeSeed<'de> for &Schema {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        Ok(match self {
            Schema::Unit => <()>::deserialize(from).map(|()| Value::Unit)?,
            Schema::Bool => Value::Bool(Deserialize::deserialize(from)?),
            Schema::I8 => Value::Int(i8::deserialize(from)?.into()),
            Schema::U8 => Value::Int(u8::deserialize(from)?.into()),
            Schema::I32 => Value::Int(i32::deserialize(from)?.into()),
            Schema::U32 => Value::Int(u32::deserialize(from)?.into()),
            Schema::I64 => Value::Int(i64::deserialize(from)?.into()),
            Schema::U64 => Value::Int(u64::deserialize(from)?.into()),
            Schema::I128 => Value::Int(i128::deserialize(from)?),
            Schema::F32 => Value::F32(Deserialize::deserialize(from)?),
            Schema::F64 => Value::F64(Deserialize::deserialize(from)?),
            Schema::Char => Value::Char(Deserialize::deserialize(from)?),
            Schema::Text => Value::Text(Deserialize::deserialize(from)?),
            Schema::Bytes => Value::Bytes(serde_bytes::ByteBuf::deserialize(from)?.into_vec()),
            Schema::Option(of) => from.deserialize_option(OptionOf(of))?,
            Schema::Newtype(of) => from.deserialize_newtype_struct("N", NewtypeOf(of))?,
            Schema::Seq(of) => from.deserialize_seq(SeqOf(of))?,
            Schema::Tuple(of) => from.deserialize_tuple(of.len(), TupleOf(of))?,
            Schema::Map(key, value) => from.deserialize_map(MapOf(key, value))?,
            Schema::Struct(fields) => from.deserialize_struct("S", &NAMES, StructOf(fields))?,
            Schema::Enum(variants) => from.deserialize_enum("E", &NAMES, EnumOf(variants))?,
        })
    }
}

macro_rules! expecting {
    ($text:literal) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str($text)
        }
    };
}

struct OptionOf<'a>(&'a Schema);

impl<'de> Visitor<'de> for OptionOf<'_> {
    type Value = Value;

    expecting!("an option");

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Option(None))
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Option(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        Ok(Value::Option(Some(self.0.deserialize(from)?.into())))
    }
}

struct NewtypeOf<'a>(&'a Schema);

impl<'de> Visitor<'de> for NewtypeOf<'_> {
    type Value = Value;

    expecting!("a newtype");

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        self.0.deserialize(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        seq.next_element_seed(self.0)?.ok_or_else(|| Error::invalid_length(0, &self))
    }
}

struct SeqOf<'a>(&'a Schema);

impl<'de> Visitor<'de> for SeqOf<'_> {
    type Value = Value;

    expecting!("a sequence");

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.0)? {
            items.push(item);
        }
        Ok(Value::Seq(items))
    }
}

struct TupleOf<'a>(&'a [Schema]);

impl<'de> Visitor<'de> for TupleOf<'_> {
    type Value = Value;

    expecting!("a tuple");

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        for of in self.0 {
            match seq.next_element_seed(of)? {
                Some(item) => items.push(item),
                None => return Err(Error::invalid_length(items.len(), &self)),
            }
        }
        Ok(Value::Seq(items))
    }
}

struct MapOf<'a>(&'a Schema, &'a Schema);

impl<'de> Visitor<'de> for MapOf<'_> {
    type Value = Value;

    expecting!("a map");

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry_seed(self.0, self.1)? {
            entries.push(entry);
        }
        entries.sort_by_key(|(key, _)| format!("{key:?}"));
        Ok(Value::Map(entries))
    }
}

/// Decodes the name or the index of a field or a variant to its index, or to `Err` if it is unknown.
struct Identifier<'a>(&'a [&'static str]);

impl<'de> DeserializeSeed<'de> for Identifier<'_> {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl<'de> Visitor<'de> for Identifier<'_> {
    type Value = Result<usize, String>;

    expecting!("an identifier");

    fn visit_u64<E: Error>(self, index: u64) -> Result<Self::Value, E> {
        let known = usize::try_from(index).ok().filter(|index| *index < self.0.len());
        Ok(known.ok_or_else(|| index.to_string()))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == name).ok_or_else(|| name.to_owned()))
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        self.visit_str(&String::from_utf8_lossy(name))
    }
}

struct StructOf<'a>(&'a [Field]);

impl StructOf<'_> {
    fn absent<E: Error>(field: &Field) -> Result<Value, E> {
        match &field.schema {
            schema if field.default => Ok(default_of(schema)),
            Schema::Option(_) => Ok(Value::Option(None)),
            _ => Err(E::missing_field(field.name)),
        }
    }
}

impl<'de> Visitor<'de> for StructOf<'_> {
    type Value = Value;

    expecting!("a struct");

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        for field in self.0 {
            match seq.next_element_seed(&field.schema)? {
                Some(value) => values.push((field.name, value)),
                None if field.default => values.push((field.name, default_of(&field.schema))),
                None => return Err(Error::invalid_length(values.len(), &self)),
            }
        }
        Ok(Value::Struct(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let names: Vec<_> = self.0.iter().map(|field| field.name).collect();
        let mut values = vec![None; names.len()];
        while let Some(key) = map.next_key_seed(Identifier(&names))? {
            let Ok(index) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value_seed(&self.0[index].schema)?;
            if values[index].replace(value).is_some() {
                return Err(Error::duplicate_field(names[index]));
            }
        }
        let fields =
            self.0.iter().zip(values).map(|(field, value)| {
                Ok((field.name, value.map_or_else(|| Self::absent(field), Ok)?))
            });
        Ok(Value::Struct(fields.collect::<Result<_, _>>()?))
    }
}

struct EnumOf<'a>(&'a [Variant]);

impl<'de> Visitor<'de> for EnumOf<'_> {
    type Value = Value;

    expecting!("an enum");

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        let names: Vec<_> = self.0.iter().map(|variant| variant.name).collect();
        let (index, content) = access.variant_seed(Identifier(&names))?;
        let index = index.map_err(|name| Error::unknown_variant(&name, &NAMES))?;
        let value = match &self.0[index].content {
            Content::None => content.unit_variant().map(|()| None)?,
            Content::One(of) => Some(content.newtype_variant_seed(of)?),
            Content::Tuple(of) => Some(content.tuple_variant(of.len(), TupleOf(of))?),
            Content::Fields(fields) => Some(content.struct_variant(&NAMES, StructOf(fields))?),
        };
        Ok(Value::Variant(names[index], value.map(Box::new)))
    }
}

/// The value that derived code uses for an absent field with a default. For an enum, it is the first
/// variant.
fn default_of(schema: &Schema) -> Value {
    match schema {
        Schema::Unit => Value::Unit,
        Schema::Bool => Value::Bool(false),
        Schema::F32 => Value::F32(0.0),
        Schema::F64 => Value::F64(0.0),
        Schema::Char => Value::Char('\0'),
        Schema::Text => Value::Text(String::new()),
        Schema::Bytes => Value::Bytes(Vec::new()),
        Schema::Option(_) => Value::Option(None),
        Schema::Newtype(of) => default_of(of),
        Schema::Seq(_) => Value::Seq(Vec::new()),
        Schema::Tuple(of) => Value::Seq(of.iter().map(default_of).collect()),
        Schema::Map(..) => Value::Map(Vec::new()),
        Schema::Struct(fields) => Value::Struct(defaults_of(fields)),
        Schema::Enum(variants) => {
            let content = match &variants[0].content {
                Content::None => None,
                Content::One(of) => Some(default_of(of)),
                Content::Tuple(of) => Some(Value::Seq(of.iter().map(default_of).collect())),
                Content::Fields(fields) => Some(Value::Struct(defaults_of(fields))),
            };
            Value::Variant(variants[0].name, content.map(Box::new))
        }
        _ => Value::Int(0),
    }
}

fn defaults_of(fields: &[Field]) -> Vec<(&'static str, Value)> {
    fields.iter().map(|field| (field.name, default_of(&field.schema))).collect()
}
