//! Arguments and replies as MessagePack with names, decoded strictly; and in [`bytes`] the varints and
//! optional fields of links and gossip.
//!
//! A body must be decodable by another version of the types that it was encoded from, and must never
//! be *misread* by one. So it is self-describing, `is_human_readable() == true` on both sides:
//! structs are maps from field name to value, enum variants are their names (with content: a map of
//! one entry), arguments are a map from name to value that leaves out those that are `None`. A body
//! must contain what the decoding type asks for:
//!
//! | encoded | can be decoded as |
//! |---|---|
//! | integer | any integer or float type that holds exactly this number |
//! | float | any float type that holds exactly this number; never an integer |
//! | string | string; char, if it is one; unit variant of this name; never bytes |
//! | bytes | bytes, sequence of integers; and the reverse |
//! | `None` | `Option`; never `()` |
//! | `()`, unit struct | the same; never `None` |
//! | any other `T` | `Option<T>`; `Some(T)` as `T` |
//! | sequence, tuple | sequence, tuple (all elements must be taken); never a struct |
//! | struct, map | struct, map with such keys; never a sequence |
//! | variant | variant of this name with the same kind of content |
//!
//! Fields and variants are found by name only: an integer in place of one is an error. So are bytes
//! after the value, values nested more than 128 deep, and lengths beyond the bytes received, before
//! anything is allocated for them. Serde's own decisions (defaults, unknown fields, repeated fields)
//! stay with serde.
//!
//! Four extension types represent what MessagePack cannot: `()`, `Some(None)`, and integers of more
//! than 64 bits, unsigned and signed.
//!
//! # Limits
//!
//! Serde buffers untagged, internally tagged and flattened types first (adjacently tagged ones if the
//! content precedes the tag), and then reads the buffer by its own rules. Where these would round a
//! float or an integer, or read a sequence as a struct, an index as a field or variant, or `()` as
//! `None`, [`verify`] detects that and refuses the value. What remains, within the content of such
//! types:
//!
//! - `None` may be read as `()`, bytes as text, and an empty sequence as a struct of defaults;
//! - integers of more than 64 bits are refused, and so are `u128` and `i128` of any value where serde
//!   buffers;
//! - flattened maps have string keys, or are refused.
//!
//! `serde_json::Value::Null` is a unit, and so not read as `None`.
//!
//! Options are distinguished two deep: `Some(None)` arrives as such, and a third level is an error when
//! it is encoded. Paths of errors end where buffering begins.

mod args;
mod body;
pub(crate) mod bytes;
mod msgpack;
mod verify;

#[cfg(test)]
mod tests;

pub use self::args::{ArgsReader, ArgsWriter, ArgumentError};
pub(crate) use self::{
    args::{AcceptedArgs, is_optional},
    body::{decode, decode_verified, encode},
};
