//! The value of an absent argument: `None` if its type is an `Option`, otherwise an error.

use serde::{
    de::{DeserializeOwned, Deserializer, Visitor},
    forward_to_deserialize_any,
};

use crate::codec::msgpack::{CodecError, MAX_WRAPPERS, Result};

/// Whether a `T` may be absent from a map of arguments, which is the case if `T` is an `Option`.
pub(crate) fn is_optional<T: DeserializeOwned>() -> bool {
    absent::<T>().is_ok()
}

/// Returns the value of an absent `T`. Like serde for absent fields, this uses a deserializer that
/// supports only `Option` and yields `None`. Unlike serde's, the deserializer looks into newtypes.
pub(super) fn absent<T: DeserializeOwned>() -> Result<T> {
    T::deserialize(Absent { wrappers: 0 })
}

/// Deserializes `None` for an option, and fails for all other types.
struct Absent {
    wrappers: usize,
}

impl<'de> Deserializer<'de> for Absent {
    type Error = CodecError;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value> {
        Err(CodecError::new("missing argument"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        if self.wrappers == MAX_WRAPPERS {
            return self.deserialize_any(visitor);
        }
        visitor.visit_newtype_struct(Absent { wrappers: self.wrappers + 1 })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
