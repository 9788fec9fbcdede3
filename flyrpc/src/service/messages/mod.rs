//! Serde's traits for the generated enums of requests and responses, which transports of tarpc need.
//!
//! Serde's derive macros are not used for them. Their code refers to names of the user's scope, such as `str`,
//! it cannot be compiled under `#![forbid(unused)]`, and it is long: for a trait of 100 methods, it took most
//! of the compile time. The format is the one of the derive macros: one struct variant for each method in a
//! request, and one newtype variant in a response.

mod deserialize;
mod fields;
mod serialize;
mod sink;
mod variants;

pub(crate) use self::fields::{Field, FieldsVisitor};
pub use self::{
    deserialize::{deserialize_request, deserialize_response},
    fields::Fields,
    serialize::{serialize_request, serialize_response},
    sink::{ArgumentSink, ResponseSink},
    variants::{Variants, unknown_variant},
};
