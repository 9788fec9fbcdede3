//! Checks that a value which was read has the meaning of what was sent.

use std::collections::BTreeMap;

use super::{Type, encoded};
use crate::codec::msgpack::{Input, Token};

/// How a value was read.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) container: &'static str,
    pub(super) ty: Type,
    /// The number of maps around the part of the value that is checked.
    pub(super) depth: usize,
}

impl Reading {
    /// Whether a `None` or a `()` may be read as the null of JSON or of an untagged type.
    fn has_null(self) -> bool {
        matches!(self.ty, Type::Json | Type::JsonByText | Type::OneOf)
    }

    /// Whether a map at this depth has entries of any name, so that none may be lost.
    fn keeps_all_entries(self) -> bool {
        let is_map =
            matches!(self.ty, Type::ByText | Type::ByInteger | Type::ByRaw | Type::JsonByText);
        match self.depth {
            0 => self.container == "flat map",
            _ => is_map || self.ty == Type::Json,
        }
    }
}

/// Checks that the encoding of a value that was read, `is`, has the meaning of what was sent, `was`.
pub(super) fn check_same(
    was: &mut Input<'_>,
    is: &mut Input<'_>,
    reading: Reading,
) -> Result<(), String> {
    let (before, after) = (was.token().unwrap(), is.token().unwrap());
    match (before, after) {
        (Token::Array(count), Token::Array(same)) if count == same => {
            (0..count).try_for_each(|_| check_same(was, is, reading))
        }
        (Token::Map(count), Token::Map(fields)) => check_same_map(was, count, is, fields, reading),
        (Token::Array(count), Token::Bytes(bytes)) if count == bytes.len() => {
            bytes.iter().try_for_each(|byte| {
                let integer = encoded(byte);
                check_same(was, &mut Input { rest: &integer }, reading)
            })
        }
        (Token::Bytes(bytes), Token::Array(count)) if count == bytes.len() => {
            bytes.iter().try_for_each(|byte| {
                let integer = encoded(byte);
                check_same(&mut Input { rest: &integer }, is, reading)
            })
        }
        (Token::Some, Token::Some) => check_same(was, is, reading),
        (Token::None, Token::Unit) if reading.has_null() => Ok(()),
        (Token::Some, Token::Unit) if reading.has_null() => match was.token() {
            Ok(Token::None | Token::Unit) => Ok(()),
            inner => Err(format!("Some({inner:?}) arrived as null")),
        },
        // A name that the type does not know.
        (Token::Str(_), Token::Str("Other")) if reading.ty == Type::OpenName => Ok(()),
        (old, new) => {
            let number = |token| match token {
                Token::Unsigned(number) => Some((number as f64, i128::from(number))),
                Token::Negative(number) => Some((number as f64, i128::from(number))),
                Token::F32(number) => Some((number.into(), number as i128)),
                Token::F64(number) => Some((number, number as i128)),
                _ => None,
            };
            let same = match (number(old), number(new)) {
                (Some((old, _)), Some((new, _))) if old.is_nan() => new.is_nan(),
                (Some(old), Some(new)) => old == new,
                _ => old == new,
            };
            if same { Ok(()) } else { Err(format!("{old:?} arrived as {new:?}")) }
        }
    }
}

/// Checks the entries of two maps. Fields that the type does not have are left out, and fields that were not sent are
/// `None` or have a default.
fn check_same_map(
    was: &mut Input<'_>,
    count: usize,
    is: &mut Input<'_>,
    fields: usize,
    reading: Reading,
) -> Result<(), String> {
    let entries = |input: &mut Input<'_>, count| -> BTreeMap<Vec<u8>, Vec<u8>> {
        (0..count).map(|_| (take(input), take(input))).collect()
    };
    let (old, new) = (entries(was, count), entries(is, fields));
    for (key, new) in &new {
        match old.get(key) {
            Some(old) => {
                let reading = Reading { depth: reading.depth + 1, ..reading };
                check_same(&mut Input { rest: old }, &mut Input { rest: new }, reading)?;
            }
            None if *new == encoded(&None::<u8>) => {}
            None if (key, new) == (&encoded(&"x"), &encoded(&5)) => {}
            None => return Err(format!("{key:02x?} was not sent")),
        }
    }
    match old.keys().find(|key| !new.contains_key(*key)) {
        Some(key) if reading.keeps_all_entries() => Err(format!("{key:02x?} was lost")),
        _ => Ok(()),
    }
}

/// The next value.
fn take(input: &mut Input<'_>) -> Vec<u8> {
    let start = input.rest;
    input.skip().unwrap();
    start[..start.len() - input.rest.len()].to_vec()
}
