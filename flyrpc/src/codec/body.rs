//! Encodes and decodes whole bodies, which contain one value each.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    encoded::decode_shared,
    msgpack::{self, Decoder},
    verify,
};
use crate::error::BodyError;

/// Appends the encoding of `value`.
///
/// # Errors
///
/// Returns an error and appends nothing if the value's `Serialize` fails or the value is nested more than
/// 128 levels deep.
#[inline]
pub(crate) fn encode<T: Serialize>(value: &T, to: &mut Vec<u8>) -> Result<(), BodyError> {
    msgpack::write(value, to)?;
    Ok(())
}

/// Decodes a value that takes up all of `body`.
///
/// # Errors
///
/// Returns an error if the bytes are not exactly one value, or cannot be decoded as a `T` without being
/// misread.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    Ok(Decoder::new(body).decode_all()?)
}

/// Like [`decode`], for types of users. Also refuses a value that serde misread while buffering.
///
/// # Errors
///
/// Returns the same errors as [`decode`], and an error if serde misread the value.
pub(crate) fn decode_verified<T: Serialize + DeserializeOwned>(
    body: &[u8],
) -> Result<T, BodyError> {
    Ok(verify::decode_verified(body)?)
}

/// Like [`decode_verified`], for responses. A long byte string shares the memory of `body`.
///
/// # Errors
///
/// Returns the same errors as [`decode_verified`].
pub(crate) fn decode_response<T: Serialize + DeserializeOwned + 'static>(
    body: &Bytes,
) -> Result<T, BodyError> {
    decode_shared(body, body).map_or_else(|| decode_verified(body), Ok)
}
