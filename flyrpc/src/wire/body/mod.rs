//! Arguments and replies as MessagePack with names, read strictly.
//!
//! A body must be readable by another version of the types that it was written from, and must never
//! be *misread* by one. So it is self-describing, `is_human_readable() == true` on both sides:
//! structs are maps from field name to value, enum variants their names (with content: a map of one
//! entry), arguments a map from name to value from which those that are none are left out. What
//! is read must be what the reading type asked for:
//!
//! | written | can be read as |
//! |---|---|
//! | integer | any integer or float type that holds exactly this number |
//! | float | any float type that holds exactly this number; never an integer |
//! | string | string; char, if it is one; unit variant of this name; never bytes |
//! | bytes | bytes, sequence of integers; and the reverse |
//! | none | `Option`; never `()` |
//! | `()`, unit struct | the same; never an `Option`'s none |
//! | any other `T` | `Option<T>`; an `Option` that is some, as `T` |
//! | sequence, tuple | sequence, tuple (all elements must be taken); never a struct |
//! | struct, map | struct, map with such keys; never a sequence |
//! | variant | variant of this name with the same kind of content |
//!
//! Fields and variants are found by name only: an integer that takes the place of one is refused. So
//! are bytes after the value, values nested more than 128 deep, and lengths that exceed the
//! bytes received, before anything is allocated for them. What serde decides (defaults, unknown
//! fields, fields that occur twice) stays with serde.
//!
//! Four extension types say what MessagePack cannot: `()`, `Some(None)`, and integers of more than
//! 64 bits, unsigned and signed.
//!
//! # Residue
//!
//! Untagged, internally tagged and flattened types are buffered by serde first (adjacently tagged
//! ones if the content precedes the tag), which then reads the buffer by its own rules. Within the
//! content of those
//!
//! - a float may lose precision, an integer may be read as a float that is not equal, a sequence as a
//!   struct, an integer as a variant's or a field's index, none and `()` as each other. This is
//!   possible only where the types differ between the versions;
//! - integers of more than 64 bits are refused, and so are `u128` and `i128` of any value where serde
//!   buffers;
//! - flattened maps have string keys, or are refused.
//!
//! Options are told apart two deep: `Some(None)` arrives as such, a third level is refused
//! when it is written. Paths of errors end where buffering begins.

mod absent;
mod access;
mod args;
mod compound;
mod decode;
mod encode;
mod failure;
mod format;

#[cfg(test)]
mod tests;

use serde::{Serialize, de::DeserializeOwned};

pub use self::args::{ArgsReader, ArgsWriter, ArgumentError, Listed};
use crate::BodyError;

/// Appends the encoding of `value`.
///
/// # Errors
///
/// If its `Serialize` fails, or it is nested more than 128 deep. Nothing is appended then.
pub fn encode<T: Serialize>(value: &T, to: &mut Vec<u8>) -> Result<(), BodyError> {
    encode::write(value, to)?;
    Ok(())
}

/// Reads a value that takes up all of `body`.
///
/// # Errors
///
/// If the bytes are not exactly one value, or not one that a `T` can be without being misread.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    Ok(decode::Decoder::new(body).whole()?)
}

/// Whether a `T` may be absent from a map of arguments: whether it is an `Option`.
pub fn is_optional<T: DeserializeOwned>() -> bool {
    absent::absent::<T>().is_ok()
}
