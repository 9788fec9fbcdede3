//! Finds the position of an error that serde reported for a value in its buffer.
//!
//! Serde does not record where a buffered value came from, but its messages describe that value. Each value
//! of the body that fits the description is replaced, and the body is decoded again: at the right position,
//! the same error is reported for the replacement, or no error. Decoding fails rarely, and the number of
//! attempts and the length of the body are bounded.

use serde::de::DeserializeOwned;

use super::msgpack::{
    CodecError, Decoder, Head, Input, Kind, Result, Segment, Token, key_segment, write_str,
    write_unsigned,
};

const MAX_BODY: usize = 64 << 10;
const MAX_ATTEMPTS: usize = 64;

/// The replacement of a name.
const NAME: &str = "?";

/// Adds the path within buffered values to `error`, which decoding `body` as a `T` reported.
#[cold]
pub(super) fn locate<T: DeserializeOwned>(error: CodecError, body: &[u8]) -> CodecError {
    let Some(described) = Described::parse(error.message()).filter(|_| body.len() <= MAX_BODY)
    else {
        return error;
    };
    let decode = |body: &[u8]| Decoder::new(body).decode_all::<T>().map(drop);
    let mut search =
        Search { error: &error, described, body, decode: &decode, attempts: 0, path: Vec::new() };
    match search.value(&mut Input { rest: body }) {
        Ok(true) => {
            let path = search.path;
            error.moved_to(path)
        }
        _ => error,
    }
}

/// The value that a message of serde is about.
#[derive(Debug, Clone, Copy)]
enum Described<'a> {
    /// A value that serde displays as `found`, where it expected `expected`.
    Value { found: &'a str, expected: &'a str },
    /// A name of a variant.
    Variant(&'a str),
    /// A name of a field.
    Field(&'a str),
    /// A map without this field.
    Without(&'a str),
    /// A sequence that has not the expected number of elements. `counted` elements may be a part of it.
    Length { counted: &'a str, expected: &'a str },
}

impl<'a> Described<'a> {
    fn parse(message: &'a str) -> Option<Self> {
        let quoted = |text: &'a str| text.split('`').next();
        if let Some(found) = ["invalid type: ", "invalid value: "]
            .iter()
            .find_map(|prefix| message.strip_prefix(prefix))
        {
            let (found, expected) = found.rsplit_once(", expected ")?;
            Some(Described::Value { found, expected })
        } else if let Some(variant) = message.strip_prefix("unknown variant `") {
            quoted(variant).map(Described::Variant)
        } else if let Some(field) = message.strip_prefix("unknown field `") {
            quoted(field).map(Described::Field)
        } else if let Some(field) = message.strip_prefix("missing field `") {
            quoted(field).map(Described::Without)
        } else if let Some(length) = message.strip_prefix("invalid length ") {
            let (counted, expected) = length.split_once(", expected ")?;
            Some(Described::Length { counted, expected })
        } else {
            None
        }
    }
}

struct Search<'a, F> {
    error: &'a CodecError,
    described: Described<'a>,
    body: &'a [u8],
    decode: &'a F,
    attempts: usize,
    /// Outermost first.
    path: Vec<Segment>,
}

impl<'a, F: Fn(&[u8]) -> Result<()>> Search<'a, F> {
    /// Searches the next value, and returns whether it contains the position. If so, `path` is the position.
    /// If not, the input has moved past the value.
    fn value(&mut self, input: &mut Input<'a>) -> Result<bool> {
        let start = *input;
        let token = input.token()?;
        if self.is_candidate(token, *input) {
            let mut end = start;
            end.skip()?;
            if self.is_culprit(start, end, token, *input)? {
                return Ok(true);
            }
        }
        match token {
            Token::Array(count) => {
                for index in 0..count {
                    self.path.push(Segment::bracketed(index));
                    if self.value(input)? {
                        return Ok(true);
                    }
                    self.path.pop();
                }
            }
            Token::Map(count) => {
                for _ in 0..count {
                    let key = *input;
                    if matches!(self.described, Described::Variant(_)) && self.value(input)? {
                        return Ok(true);
                    }
                    *input = key;
                    self.path.push(key_segment(key));
                    let may_be_key =
                        matches!(self.described, Described::Field(_) | Described::Value { .. });
                    if may_be_key && self.value(input)? {
                        return Ok(true);
                    }
                    *input = key;
                    input.skip()?;
                    if self.value(input)? {
                        return Ok(true);
                    }
                    self.path.pop();
                }
            }
            Token::Some => return self.value(input),
            _ => {}
        }
        Ok(false)
    }

    /// Whether a value fits the description. `content` follows its token.
    fn is_candidate(&self, token: Token<'_>, content: Input<'_>) -> bool {
        self.error.contains(&self.path)
            && match (self.described, token) {
                // Both are buffered as a unit.
                (Described::Value { found, .. }, Token::None | Token::Unit) => {
                    found == "unit value"
                }
                (Described::Value { found, .. }, Token::Bytes(_)) => found == "byte array",
                (Described::Value { found, .. }, token) => found == token.unexpected().to_string(),
                (Described::Variant(name) | Described::Field(name), Token::Str(text)) => {
                    text == name
                }
                (Described::Length { .. }, Token::Array(1..)) => true,
                (Described::Without(name), Token::Map(count)) => !has_field(content, count, name),
                _ => false,
            }
    }

    /// Replaces the value from `start` to `end`, and returns whether that changes the error at its position.
    fn is_culprit(
        &mut self,
        start: Input<'_>,
        end: Input<'_>,
        token: Token<'_>,
        content: Input<'_>,
    ) -> Result<bool> {
        self.attempts += 1;
        if self.attempts > MAX_ATTEMPTS {
            return Err(CodecError::new("too many attempts"));
        }
        // Serde treats integers of more than 32 bits differently.
        let number = match token {
            Token::Unsigned(0x1_0000_0000..) => 0xfedc_ba98_7654,
            _ => 0xfedc_ba98,
        };
        let mut other = self.body[..self.body.len() - start.rest.len()].to_vec();
        match (self.described, token) {
            (Described::Value { .. }, _) => write_unsigned(number, &mut other),
            (Described::Variant(_) | Described::Field(_), _) => write_str(NAME, &mut other)?,
            (Described::Without(name), Token::Map(count)) => {
                Head::new(Kind::Map, count + 1)?.write(&mut other);
                write_str(name, &mut other)?;
                write_unsigned(number, &mut other);
                other.extend_from_slice(&content.rest[..content.rest.len() - end.rest.len()]);
            }
            (Described::Length { .. }, Token::Array(count)) => {
                Head::new(Kind::Array, count + 1)?.write(&mut other);
                let mut last = content;
                (1..count).try_for_each(|_| last.skip())?;
                other.extend_from_slice(&content.rest[..content.rest.len() - end.rest.len()]);
                other.extend_from_slice(&last.rest[..last.rest.len() - end.rest.len()]);
            }
            (Described::Without(_) | Described::Length { .. }, _) => return Ok(false),
        }
        other.extend_from_slice(end.rest);
        let old = self.error.message();
        let Err(new) = (self.decode)(&other) else { return Ok(true) };
        let new = new.message();
        Ok(match self.described {
            Described::Value { expected, .. } => {
                let number = format!("integer `{number}`");
                match new.split_once(&number) {
                    Some((_, rest)) => rest.strip_prefix(", expected ") == Some(expected),
                    None => new != old,
                }
            }
            Described::Variant(name) | Described::Field(name) => {
                new == old.replacen(&format!("`{name}`"), &format!("`{NAME}`"), 1)
            }
            Described::Length { counted, expected } => {
                let longer = counted.parse::<u64>().map_or(0, |counted| counted + 1);
                new == format!("invalid length {longer}, expected {expected}")
            }
            Described::Without(name) => {
                new != old && !new.starts_with(&format!("unknown field `{name}`"))
            }
        })
    }
}

/// Whether one of the next `count` entries has this name.
fn has_field(mut entries: Input<'_>, count: usize, name: &str) -> bool {
    (0..count).any(|_| {
        let key = entries.token();
        let skipped = entries.skip();
        skipped.is_err() || matches!(key, Ok(Token::Str(key)) if key == name)
    })
}
