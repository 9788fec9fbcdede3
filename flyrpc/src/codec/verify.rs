//! Detects values that serde misread while buffering.
//!
//! Untagged, internally tagged and flattened types do not read from the decoder. Serde buffers their
//! content and reads the buffer by its own rules, which are as lenient as rmp-serde's. No deserializer
//! can prevent that. But each kind of misreading is detectable: if the value is encoded again, the result
//! differs from the body in a way that is specific to that misreading. Only these differences are refused,
//! because a type may legitimately have an encoding that differs from the input that it was decoded from.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};

use super::msgpack::{CodecError, Decoder, Input, Result, Token, at_key, write};

/// Decodes a value that takes up all of `body`, and refuses it if serde misread it.
#[inline]
pub(super) fn decode_verified<T: Serialize + DeserializeOwned>(body: &[u8]) -> Result<T> {
    let mut decoder = Decoder::new(body);
    let value = decoder.decode_all()?;
    if decoder.used_any() {
        verify(&value, body)?;
    }
    Ok(value)
}

/// Refuses `value` if it was misread from `body`.
#[cold]
fn verify<T: Serialize>(value: &T, body: &[u8]) -> Result<()> {
    let mut again = Vec::new();
    // A value that cannot be encoded cannot be compared.
    if write(value, &mut again).is_err() {
        return Ok(());
    }
    compare(&mut Input { rest: body }, &mut Input { rest: &again })
}

/// Compares the next value of the body, `was`, with the next value of the new encoding, `is`, and skips
/// both.
fn compare(was: &mut Input<'_>, is: &mut Input<'_>) -> Result<()> {
    let (before, after) = (*was, *is);
    match (was.token()?, is.token()?) {
        (Token::Array(count), Token::Array(same)) if count == same => {
            for index in 0..count {
                compare(was, is).map_err(|error| error.at_bracketed(index))?;
            }
            return Ok(());
        }
        (Token::Array(1..), Token::Map(_)) if corresponds(&mut { before }, &mut { after }) => {
            return Err(misread("a sequence", "a struct"));
        }
        (Token::Map(1..), Token::Map(_)) if has_indices(*was) && !has_indices(*is) => {
            return Err(misread("an index", "a field or a variant"));
        }
        (Token::Map(count), Token::Map(fields)) => compare_entries(*was, count, *is, fields)?,
        (Token::Map(1), Token::Str(variant)) if is_variant(*was, variant) => {
            return Err(misread("a variant with content", "one without"));
        }
        (Token::Map(0) | Token::Array(0), Token::Unit) => {
            return Err(misread("an empty container", "a unit"));
        }
        (Token::Unit, Token::None) => return Err(misread("a unit", "none")),
        (number, float) if is_rounded(number, float) => {
            let message = format_args!("{} would be rounded", number.unexpected());
            return Err(CodecError::new(message));
        }
        _ => {}
    }
    (*was, *is) = (before, after);
    was.skip()?;
    is.skip()
}

/// Compares the values of the keys that are in both maps.
fn compare_entries(
    mut was: Input<'_>,
    count: usize,
    mut is: Input<'_>,
    fields: usize,
) -> Result<()> {
    let mut values = BTreeMap::new();
    for _ in 0..fields {
        let key = next(&mut is)?;
        values.insert(key, is);
        is.skip()?;
    }
    for _ in 0..count {
        let key = next(&mut was)?;
        match values.get_mut(key) {
            Some(value) => {
                compare(&mut was, value).map_err(|error| at_key(error, Input { rest: key }))?
            }
            None => was.skip()?,
        }
    }
    Ok(())
}

/// Skips two values, and returns whether `is` may result from reading `was` by position.
fn corresponds(was: &mut Input<'_>, is: &mut Input<'_>) -> bool {
    let (mut left, mut right) = (*was, *is);
    if was.skip().is_err() || is.skip().is_err() {
        return false;
    }
    let (Ok(before), Ok(after)) = (left.token(), right.token()) else { return false };
    match (before, after) {
        (Token::Array(count), Token::Array(same)) => {
            count == same && (0..count).all(|_| corresponds(&mut left, &mut right))
        }
        // Each element became a field; the other fields have defaults.
        (Token::Array(count), Token::Map(fields)) => {
            let mut field = || right.skip().is_ok() && corresponds(&mut left, &mut right);
            count <= fields && (0..count).all(|_| field())
        }
        (Token::Map(_), Token::Map(_)) | (Token::None | Token::Unit, Token::None | Token::Unit) => {
            true
        }
        (Token::F32(was), Token::F64(is)) => f64::from(was) == is,
        (Token::Unsigned(was), Token::F64(is)) => was as f64 == is,
        (Token::Unsigned(was), Token::F32(is)) => was as f32 == is,
        (Token::Negative(was), Token::F64(is)) => was as f64 == is,
        (Token::Negative(was), Token::F32(is)) => was as f32 == is,
        (Token::F64(was), Token::F32(is)) => was as f32 == is,
        (before, after) => before == after,
    }
}

/// Whether the first key is an integer.
fn has_indices(mut entries: Input<'_>) -> bool {
    matches!(entries.token(), Ok(Token::Unsigned(_)))
}

/// Whether the key is the name of this variant, or an index, and its value is empty.
fn is_variant(mut entry: Input<'_>, variant: &str) -> bool {
    let is_key = match entry.token() {
        Ok(Token::Str(name)) => name == variant,
        Ok(Token::Unsigned(_)) => true,
        _ => false,
    };
    let content = entry.token();
    is_key && matches!(content, Ok(Token::None | Token::Unit | Token::Map(0) | Token::Array(0)))
}

/// Whether `float` is the result of a cast of `number` that changed the number.
fn is_rounded(number: Token<'_>, float: Token<'_>) -> bool {
    match (number, float) {
        (Token::F64(was), Token::F32(is)) => was as f32 == is && was != f64::from(is),
        (Token::Unsigned(was), Token::F64(is)) => was as f64 == is && is as u128 != was.into(),
        (Token::Unsigned(was), Token::F32(is)) => was as f32 == is && is as u128 != was.into(),
        (Token::Negative(was), Token::F64(is)) => was as f64 == is && is as i128 != was.into(),
        (Token::Negative(was), Token::F32(is)) => was as f32 == is && is as i128 != was.into(),
        _ => false,
    }
}

/// The bytes of the next value.
fn next<'a>(input: &mut Input<'a>) -> Result<&'a [u8]> {
    let start = input.rest;
    input.skip()?;
    Ok(&start[..start.len() - input.rest.len()])
}

#[cold]
fn misread(what: &str, as_what: &str) -> CodecError {
    CodecError::new(format_args!("{what} would be read as {as_what}"))
}
