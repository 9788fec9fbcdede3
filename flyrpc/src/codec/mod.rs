//! Encodes arguments and replies as MessagePack with names, and decodes them strictly. The module
//! [`bytes`] contains the varints and optional fields of links and gossip.
//!
//! Another version of the encoded types must be able to decode a body, and must never *misread* it.
//! Therefore, bodies are self-describing, and `is_human_readable()` returns `true` on both sides:
//!
//! - A struct is a map from field name to value.
//! - An enum variant without content is its name. A variant with content is a map with one entry, from
//!   the name to the content.
//! - Arguments are a map from name to value, without the arguments that are `None`.
//!
//! A body must contain what the decoding type requests:
//!
//! | encoded | can be decoded as |
//! |---|---|
//! | integer | any integer or float type that holds exactly this number |
//! | float | any float type that holds exactly this number; never an integer |
//! | string | string; char, if it is one character; unit variant with this name; never bytes |
//! | bytes, sequence of integers | either of the two |
//! | `None` | `Option`; never `()` |
//! | `()`, unit struct | the same; never `None` |
//! | any other `T`, `Some(T)` | `T`, `Option<T>` |
//! | sequence, tuple | sequence, tuple (all elements must be taken); never a struct |
//! | struct, map | struct, map with such keys; never a sequence |
//! | variant | variant with this name and the same kind of content |
//!
//! Fields and variants are identified only by name: an integer in place of a name is an error. Bytes
//! after the value, values nested more than 128 levels deep, and lengths that exceed the received bytes
//! are also errors. Lengths are checked before anything is allocated for them. Serde continues to decide
//! about defaults, unknown fields and repeated fields.
//!
//! Four extension types represent values that MessagePack cannot represent: `()`, `Some(None)`, and
//! integers of more than 64 bits, unsigned and signed.
//!
//! # Limits
//!
//! Serde first buffers untagged, internally tagged and flattened types (and adjacently tagged types if
//! the content precedes the tag), and then reads the buffer by its own rules. These rules may round a
//! float or an integer, or read a sequence as a struct, a name from an integer or from bytes, bytes as text,
//! or `()` as `None`. `deserialize_any` excludes some of these misreadings, and [`verify`] detects the
//! others. The page on `#[fly_rpc]` lists what remains undetected, and which values are refused although
//! their types match.
//!
//! `serde_json::Value::Null` is encoded as a unit, and is therefore not read as `None`.
//!
//! Levels of options are distinguished: `Some(None)` and `Some(Some(None))` are preserved. Serde does not report
//! where in its buffer an error occurred; [`locate`] finds the position.

mod args;
mod body;
pub(crate) mod bytes;
mod encoded;
mod locate;
mod msgpack;
pub(crate) mod scratch;
mod verify;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use self::body::decode_verified;

pub use self::args::{ArgsReader, ArgsWriter, ArgumentError};
pub(crate) use self::{
    args::{AcceptedArgs, is_optional},
    body::{decode, decode_response, encode},
    encoded::EncodedBody,
};
