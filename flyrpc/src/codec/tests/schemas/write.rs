//! Encodes values with the same calls that derived code makes.

use serde::{
    Serialize, Serializer,
    ser::{
        SerializeMap, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleVariant,
    },
};

use super::{Content, Field, Schema, Value};

/// A value and its type.
pub(super) struct Typed<'a>(pub(super) &'a Schema, pub(super) &'a Value);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match (self.0, self.1) {
            (Schema::Unit, Value::Unit) => to.serialize_unit(),
            (Schema::Bool, Value::Bool(value)) => to.serialize_bool(*value),
            (Schema::I8, Value::Int(value)) => to.serialize_i8(*value as i8),
            (Schema::U8, Value::Int(value)) => to.serialize_u8(*value as u8),
            (Schema::I32, Value::Int(value)) => to.serialize_i32(*value as i32),
            (Schema::U32, Value::Int(value)) => to.serialize_u32(*value as u32),
            (Schema::I64, Value::Int(value)) => to.serialize_i64(*value as i64),
            (Schema::U64, Value::Int(value)) => to.serialize_u64(*value as u64),
            (Schema::I128, Value::Int(value)) => to.serialize_i128(*value),
            (Schema::F32, Value::F32(value)) => to.serialize_f32(*value),
            (Schema::F64, Value::F64(value)) => to.serialize_f64(*value),
            (Schema::Char, Value::Char(value)) => to.serialize_char(*value),
            (Schema::Text, Value::Text(value)) => to.serialize_str(value),
            (Schema::Bytes, Value::Bytes(value)) => to.serialize_bytes(value),
            (Schema::Option(_), Value::Option(None)) => to.serialize_none(),
            (Schema::Option(of), Value::Option(Some(value))) => {
                to.serialize_some(&Typed(of, value))
            }
            (Schema::Newtype(of), value) => to.serialize_newtype_struct("N", &Typed(of, value)),
            (Schema::Seq(of), Value::Seq(items)) => {
                to.collect_seq(items.iter().map(|item| Typed(of, item)))
            }
            (Schema::Tuple(of), Value::Seq(items)) => {
                let mut tuple = to.serialize_tuple(of.len())?;
                for (of, item) in of.iter().zip(items) {
                    tuple.serialize_element(&Typed(of, item))?;
                }
                tuple.end()
            }
            (Schema::Map(of_key, of_value), Value::Map(entries)) => {
                let mut map = to.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(&Typed(of_key, key), &Typed(of_value, value))?;
                }
                map.end()
            }
            (Schema::Struct(fields), Value::Struct(values)) => {
                let mut writing = to.serialize_struct("S", fields.len())?;
                for (name, typed) in zip(fields, values) {
                    writing.serialize_field(name, &typed)?;
                }
                writing.end()
            }
            (Schema::Enum(variants), Value::Variant(name, value)) => {
                let index = variants.iter().position(|variant| variant.name == *name).unwrap();
                let (content, index) = (&variants[index].content, index as u32);
                match (content, value.as_deref()) {
                    (Content::None, None) => to.serialize_unit_variant("E", index, name),
                    (Content::One(of), Some(value)) => {
                        to.serialize_newtype_variant("E", index, name, &Typed(of, value))
                    }
                    (Content::Tuple(of), Some(Value::Seq(items))) => {
                        let mut tuple = to.serialize_tuple_variant("E", index, name, of.len())?;
                        for (of, item) in of.iter().zip(items) {
                            tuple.serialize_field(&Typed(of, item))?;
                        }
                        tuple.end()
                    }
                    (Content::Fields(fields), Some(Value::Struct(values))) => {
                        let length = fields.len();
                        let mut writing = to.serialize_struct_variant("E", index, name, length)?;
                        for (name, typed) in zip(fields, values) {
                            writing.serialize_field(name, &typed)?;
                        }
                        writing.end()
                    }
                    other => unreachable!("{other:?}"),
                }
            }
            other => unreachable!("{other:?}"),
        }
    }
}

fn zip<'a>(
    fields: &'a [Field],
    values: &'a [(&'static str, Value)],
) -> impl Iterator<Item = (&'static str, Typed<'a>)> {
    fields.iter().zip(values).map(|(field, (_, value))| (field.name, Typed(&field.schema, value)))
}
