//! Deserializes requests and responses.

use std::{fmt, marker::PhantomData};

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Unexpected, Visitor};

use super::variants::Variants;

/// Deserializes a request from a struct variant of the enum `name`.
pub fn deserialize_request<'de, R: Variants, D: Deserializer<'de>>(
    name: &'static str,
    deserializer: D,
) -> Result<R, D::Error> {
    deserializer.deserialize_enum(name, R::NAMES, RequestVisitor { name, to: PhantomData })
}

/// Deserializes a response from a newtype variant of the enum `name`.
pub fn deserialize_response<'de, R: Variants, D: Deserializer<'de>>(
    name: &'static str,
    deserializer: D,
) -> Result<R::Response, D::Error> {
    let visitor = ResponseVisitor { name, request: PhantomData::<R> };
    deserializer.deserialize_enum(name, R::NAMES, visitor)
}

struct RequestVisitor<R> {
    name: &'static str,
    to: PhantomData<R>,
}

impl<'de, R: Variants> Visitor<'de> for RequestVisitor<R> {
    type Value = R;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "enum {}", self.name)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<R, A::Error> {
        let (variant, content) = data.variant_seed(VariantName(R::NAMES))?;
        R::read(variant, content)
    }
}

struct ResponseVisitor<R> {
    name: &'static str,
    request: PhantomData<R>,
}

impl<'de, R: Variants> Visitor<'de> for ResponseVisitor<R> {
    type Value = R::Response;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "enum {}", self.name)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<R::Response, A::Error> {
        let (variant, content) = data.variant_seed(VariantName(R::NAMES))?;
        R::read_response(variant, content)
    }
}

/// Reads the name of a variant: its index, its name, or its name as bytes.
struct VariantName(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for VariantName {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for VariantName {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("variant identifier")
    }

    fn visit_u64<E: serde::de::Error>(self, index: u64) -> Result<&'static str, E> {
        let variant = usize::try_from(index).ok().and_then(|index| self.0.get(index));
        variant.copied().ok_or_else(|| {
            let expected = format!("variant index 0 <= i < {}", self.0.len());
            E::invalid_value(Unexpected::Unsigned(index), &&*expected)
        })
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<&'static str, E> {
        let variant = self.0.iter().find(|variant| **variant == name);
        variant.copied().ok_or_else(|| E::unknown_variant(name, self.0))
    }

    fn visit_bytes<E: serde::de::Error>(self, name: &[u8]) -> Result<&'static str, E> {
        self.visit_str(&String::from_utf8_lossy(name))
    }
}
