//! The variants of the enums of requests and responses.

use serde::de::{Error, VariantAccess};

use crate::service::method::Request;

/// A request whose variants, and those of its responses, can be read by name.
pub trait Variants: Request {
    /// The variants of both enums, in the order of the methods.
    const NAMES: &'static [&'static str];

    /// Reads the request with the name `variant` from the content of this variant.
    fn read<'de, A: VariantAccess<'de>>(variant: &str, content: A) -> Result<Self, A::Error>;

    /// Reads the response with the name `variant` from the content of this variant.
    fn read_response<'de, A: VariantAccess<'de>>(
        variant: &str,
        content: A,
    ) -> Result<Self::Response, A::Error>;
}

/// The error for a variant that no arm of generated code matches.
pub fn unknown_variant<'de, T, A: VariantAccess<'de>>(variant: &str) -> Result<T, A::Error> {
    Err(A::Error::custom(format_args!("unknown variant `{variant}`")))
}
