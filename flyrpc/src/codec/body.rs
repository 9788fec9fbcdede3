//! Whole bodies: one value each.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    msgpack::{self, Decoder},
    verify,
};
use crate::error::BodyError;

/// Appends the encoding of `value`.
///
/// # Errors
///
/// If its `Serialize` fails, or it is nested more than 128 deep. Then nothing is appended.
pub(crate) fn encode<T: Serialize>(value: &T, to: &mut Vec<u8>) -> Result<(), BodyError> {
    msgpack::write(value, to)?;
    Ok(())
}

/// Decodes a value that takes up all of `body`.
///
/// # Errors
///
/// If the bytes are not exactly one value, or not one that a `T` can be without being misread.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    Ok(Decoder::new(body).decode_all()?)
}

/// Like [`decode`], for types of users: also refuses what serde misread where it buffers.
///
/// # Errors
///
/// As for [`decode`].
pub(crate) fn decode_verified<T: Serialize + DeserializeOwned>(
    body: &[u8],
) -> Result<T, BodyError> {
    Ok(verify::decode_verified(body)?)
}
