//! JSON, and its conversion from and to the bodies of calls.
//!
//! Unlike `serde_json::Value`, `null` is `None` and not a unit, and integers are exact up to 128 bits.

mod read;
mod text;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    text::parse,
    write::{Hint, Hinted},
};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Unsigned(u128),
    /// An integer below 0.
    Negative(i128),
    /// A finite number that is written with a fraction or an exponent.
    Float(f64),
    Text(String),
    List(Vec<Json>),
    /// The entries in their order. Their keys differ.
    Object(Vec<(String, Json)>),
}
