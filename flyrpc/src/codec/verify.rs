//! Detects values that serde misread while buffering.
//!
//! Untagged, internally tagged and flattened types do not read from the decoder. Serde buffers their
//! content and reads the buffer by its own rules, which are as lenient as rmp-serde's. No deserializer
//! can change these rules, but it decides which buffer serde creates: the decoder passes integers in a
//! form that serde does not read as the index of a field or variant (see `deserialize_any`).
//!
//! What remains possible is detectable: if the value is encoded again, the result differs from the body in
//! a way that is specific to a misreading. Only these differences are refused, because a type may
//! legitimately have an encoding that differs from the input that it was decoded from.
//!
//! Before a value is refused, the body is decoded again with other [`Buffering`]s. Each of them excludes
//! some of the lenient rules and introduces others. A value of an untagged type that serde read as a
//! variant tried earlier then arrives as the variant that was sent.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    locate::locate,
    msgpack::{Buffering, CodecError, Decoder, Input, Result, Token, at_key, write},
};

/// Upper bound on the length of a body that is decoded again with byte strings buffered as sequences.
/// Serde's buffer takes 32 bytes per element.
const MAX_REPEATED: usize = 1 << 20;

/// Decodes a value that takes up all of `body`, and refuses it if serde misread it.
#[inline]
pub(super) fn decode_verified<T: Serialize + DeserializeOwned>(body: &[u8]) -> Result<T> {
    let mut decoder = Decoder::new(body);
    let result = decoder.decode_all();
    match result {
        result if !decoder.used_any() => result,
        Ok(value) => verified(value, body),
        Err(error) => Err(locate::<T>(error, body)),
    }
}

/// Returns a value of `body` that was not misread: `value`, or the result of decoding it again.
#[cold]
fn verified<T: Serialize + DeserializeOwned>(value: T, body: &[u8]) -> Result<T> {
    let Err(error) = verify(&value, body, Buffering::Plain) else { return Ok(value) };
    if body.len() <= MAX_REPEATED {
        for buffering in [Buffering::Distinct, Buffering::UnitAsSome, Buffering::UnitAsMap] {
            let mut decoder = Decoder::new(body).buffering(buffering);
            if let Ok(value) = decoder.decode_all()
                && verify(&value, body, buffering).is_ok()
            {
                return Ok(value);
            }
        }
    }
    Err(error)
}

/// Refuses `value` if it was misread from `body`.
fn verify<T: Serialize>(value: &T, body: &[u8], buffering: Buffering) -> Result<()> {
    let mut again = Vec::new();
    // A value that cannot be encoded cannot be compared.
    if write(value, &mut again).is_err() || again == body {
        return Ok(());
    }
    Comparison { buffering }.values(&mut Input { rest: body }, &mut Input { rest: &again })
}

/// Compares a body, `was`, with the encoding of the value that was decoded from it, `is`.
#[derive(Debug, Clone, Copy)]
struct Comparison {
    buffering: Buffering,
}

impl Comparison {
    /// Compares the next values, and skips both.
    fn values(self, was: &mut Input<'_>, is: &mut Input<'_>) -> Result<()> {
        let (before, after) = (*was, *is);
        match (was.token()?, is.token()?) {
            (Token::Array(count), Token::Array(same)) => self.elements(*was, count, *is, same)?,
            (Token::Map(count), Token::Map(fields)) => self.entries(*was, count, *is, fields)?,
            (Token::Map(1), Token::Str(_)) if is_empty(*was)? => {
                return Err(misread("a variant with content", "one without"));
            }
            (old, new) => self.scalars(old, new)?,
        }
        (*was, *is) = (before, after);
        was.skip()?;
        is.skip()
    }

    /// Compares two tokens. At most one of them is the head of a container.
    fn scalars(self, was: Token<'_>, is: Token<'_>) -> Result<()> {
        let plain = matches!(self.buffering, Buffering::Plain);
        let (what, as_what) = match (was, is) {
            (Token::Array(_), Token::Map(_)) => ("a sequence", "a struct"),
            (Token::Bytes(_), Token::Map(_)) => ("bytes", "a struct"),
            (Token::Bytes(_), Token::Str(_)) => ("bytes", "text or a name"),
            (Token::Str(text), Token::Bytes(bytes)) if text.as_bytes() == bytes => {
                ("text", "bytes")
            }
            // Serde takes larger integers for an unknown name, which `#[serde(other)]` accepts.
            (Token::Unsigned(number @ 0x1_0000_0000..), Token::Str(text))
                if (plain || i64::try_from(number).is_err()) && text != number.to_string() =>
            {
                ("an integer", "text or a name")
            }
            (Token::Map(0) | Token::Array(0), Token::Unit) => ("an empty container", "a unit"),
            (Token::Unit, Token::Map(_)) if matches!(self.buffering, Buffering::UnitAsMap) => {
                ("a unit", "a struct or a map")
            }
            (Token::Unit, Token::None | Token::Some) => ("a unit", "none"),
            (Token::None | Token::Some, Token::Unit) if plain => ("none", "a unit"),
            (Token::F64(number), Token::Unit) if !number.is_finite() => (NOT_FINITE, "null"),
            (Token::F32(number), Token::Unit) if !number.is_finite() => (NOT_FINITE, "null"),
            (number, float) if is_rounded(number, float) => {
                let message = format_args!("{} would be rounded", number.unexpected());
                return Err(CodecError::new(message));
            }
            _ => return Ok(()),
        };
        Err(misread(what, as_what))
    }

    fn elements(
        self,
        mut was: Input<'_>,
        count: usize,
        mut is: Input<'_>,
        same: usize,
    ) -> Result<()> {
        // A tuple may have grown by elements with a default. A type that leaves out elements shifts the
        // others.
        if count > same {
            return Ok(());
        }
        let (before, after) = (was, is);
        for index in 0..count {
            if let Err(error) = self.values(&mut was, &mut is) {
                // The elements of a set have a different order in each process.
                if count == same && sorted(before, count)? == sorted(after, count)? {
                    return Ok(());
                }
                return Err(error.at_bracketed(index));
            }
        }
        Ok(())
    }

    /// Compares the values of the keys that are in both maps, and the other keys unless they are names.
    fn entries(
        self,
        mut was: Input<'_>,
        count: usize,
        mut is: Input<'_>,
        fields: usize,
    ) -> Result<()> {
        let mut values = BTreeMap::new();
        let mut order = Vec::with_capacity(fields);
        for _ in 0..fields {
            let key = next(&mut is)?;
            order.push(key);
            values.insert(key, is);
            is.skip()?;
        }
        let mut changed = Vec::new();
        for _ in 0..count {
            let key = next(&mut was)?;
            match values.remove(key) {
                Some(mut value) => self.values(&mut was, &mut value).map_err(at(key))?,
                None => {
                    changed.push((key, was));
                    was.skip()?;
                }
            }
        }
        self.changed_keys(&changed, &values, &order)
    }

    /// Compares the keys that are in one of the maps only, in the order in which they were written.
    fn changed_keys<'a>(
        self,
        was: &[(&'a [u8], Input<'a>)],
        is: &BTreeMap<&'a [u8], Input<'a>>,
        order: &[&'a [u8]],
    ) -> Result<()> {
        let byte_keys: BTreeSet<_> = is.keys().filter_map(|key| bytes_of(key)).collect();
        let mut left = order.iter().filter(|key| is.contains_key(*key));
        for (key, value) in was {
            match token(key)? {
                Token::Str(text) if byte_keys.contains(text.as_bytes()) => {
                    return Err(at(key)(misread("text", "bytes")));
                }
                Token::Bytes(_) => return Err(at(key)(misread("bytes", "text or a name"))),
                // A name that is missing is a field that the type does not have.
                Token::Str(_) => continue,
                _ if was.len() != is.len() => continue,
                _ => {}
            }
            let Some(new) = left.next() else { continue };
            self.values(&mut Input { rest: key }, &mut Input { rest: new }).map_err(at(key))?;
            self.values(&mut { *value }, &mut { is[new] }).map_err(at(key))?;
        }
        Ok(())
    }
}

const NOT_FINITE: &str = "a float that is not finite";

/// Whether serde reads the entry as a variant without content: the value is empty.
fn is_empty(mut entry: Input<'_>) -> Result<bool> {
    entry.skip()?;
    Ok(matches!(entry.token()?, Token::None | Token::Unit | Token::Map(0) | Token::Array(0)))
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

/// The first token of an encoded value.
fn token(value: &[u8]) -> Result<Token<'_>> {
    Input { rest: value }.token()
}

/// The content of an encoded byte string.
fn bytes_of(value: &[u8]) -> Option<&[u8]> {
    match token(value) {
        Ok(Token::Bytes(bytes)) => Some(bytes),
        _ => None,
    }
}

/// The next `count` values, sorted by their bytes.
fn sorted(mut input: Input<'_>, count: usize) -> Result<Vec<&[u8]>> {
    let mut values = (0..count).map(|_| next(&mut input)).collect::<Result<Vec<_>>>()?;
    values.sort_unstable();
    Ok(values)
}

fn at(key: &[u8]) -> impl Fn(CodecError) -> CodecError {
    move |error| at_key(error, Input { rest: key })
}

#[cold]
fn misread(what: &str, as_what: &str) -> CodecError {
    CodecError::new(format_args!("{what} would be read as {as_what}"))
}
