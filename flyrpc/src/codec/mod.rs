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
//! ones if the content precedes the tag), which then reads the buffer by its own rules. Where these
//! would round a float or an integer, or read a sequence as a struct, an index as a field or variant,
//! or `()` as none, [`verify`] finds that and refuses the value. What remains, within the content of
//! those:
//!
//! - none may be read as `()`, bytes as text, and an empty sequence as a struct of defaults;
//! - integers of more than 64 bits are refused, and so are `u128` and `i128` of any value where serde
//!   buffers;
//! - flattened maps have string keys, or are refused.
//!
//! `serde_json::Value::Null` is a unit and so not read as none.
//!
//! Options are told apart two deep: `Some(None)` arrives as such, a third level is refused
//! when it is written. Paths of errors end where buffering begins.

mod absent;
mod access;
mod args;
pub(crate) mod bytes;
mod compound;
mod decode;
mod encode;
mod failure;
mod format;
mod verify;

#[cfg(test)]
mod tests;

use serde::{Serialize, de::DeserializeOwned};

pub(crate) use self::args::Listed;
pub use self::args::{ArgsReader, ArgsWriter, ArgumentError};
use crate::error::BodyError;

/// Appends the encoding of `value`.
///
/// # Errors
///
/// If its `Serialize` fails, or it is nested more than 128 deep. Nothing is appended then.
pub(crate) fn encode<T: Serialize>(value: &T, to: &mut Vec<u8>) -> Result<(), BodyError> {
    encode::write(value, to)?;
    Ok(())
}

/// Reads a value that takes up all of `body`.
///
/// # Errors
///
/// If the bytes are not exactly one value, or not one that a `T` can be without being misread.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    Ok(decode::Decoder::new(body).whole()?)
}

/// As [`decode`], for types of users: what serde buffers is not misread either.
///
/// # Errors
///
/// As [`decode`].
pub(crate) fn decode_verified<T: Serialize + DeserializeOwned>(
    body: &[u8],
) -> Result<T, BodyError> {
    Ok(decode::Decoder::new(body).verified()?)
}

/// Whether a `T` may be absent from a map of arguments: whether it is an `Option`.
pub(crate) fn is_optional<T: DeserializeOwned>() -> bool {
    absent::absent::<T>().is_ok()
}
