//! What an absent argument is: none if its type is an `Option`, else an error.

use serde::{
    de::{DeserializeOwned, Deserializer, Visitor},
    forward_to_deserialize_any,
};

use super::failure::{Failure, Result};

/// The value of an absent `T`. As serde does for absent fields, it is asked for by a deserializer
/// that has nothing but none, and only for those who ask for an `Option`; a newtype of one, unlike
/// in serde, is asked for what is within.
pub(super) fn absent<T: DeserializeOwned>() -> Result<T> {
    T::deserialize(Absent { wrappers: 0 })
}

/// Has none for whoever asks for an option, and nothing for others.
struct Absent {
    wrappers: usize,
}

impl<'de> Deserializer<'de> for Absent {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value> {
        Err(Failure::new("missing argument"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        if self.wrappers == super::format::MAX_WRAPPERS {
            return self.deserialize_any(visitor);
        }
        visitor.visit_newtype_struct(Absent { wrappers: self.wrappers + 1 })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
