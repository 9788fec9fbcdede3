//! The building blocks of all encodings between nodes, on links and in gossip: varints, and optional
//! fields that older nodes skip.

pub(crate) mod fields;
#[cfg(test)]
pub(crate) mod garbage;
mod malformed;
pub(crate) mod varint;

pub(crate) use self::malformed::Malformed;
