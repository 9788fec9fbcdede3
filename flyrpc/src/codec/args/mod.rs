//! The arguments of a call: a map from name to value.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    absent::absent,
    decode::Decoder,
    encode::{self, Written},
    failure::{self, Failure},
    format::{Head, Input, Kind, Token, write_str},
};
use crate::{error::BodyError, types::Argument};

/// Why an argument could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentError {
    /// Its `Serialize` failed, or it holds something that the format cannot carry.
    Encode(BodyError),
    /// It has a value, and the peer's method has no argument of that name.
    NotListed(&'static str),
}

impl From<BodyError> for ArgumentError {
    fn from(error: BodyError) -> Self {
        ArgumentError::Encode(error)
    }
}

/// Which arguments the serving side lists for a method.
#[derive(Clone, Copy)]
pub enum Listed<'a> {
    /// All of ours.
    All,
    /// Those for which the function says `true`.
    Only(&'a dyn Fn(&str) -> bool),
}

impl Listed<'_> {
    fn includes(self, name: &str) -> bool {
        match self {
            Listed::All => true,
            Listed::Only(lists) => lists(name),
        }
    }
}

impl fmt::Debug for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Listed::All => "All",
            Listed::Only(_) => "Only(..)",
        })
    }
}

/// Writes the arguments of one call as a map from name to value, leaving out those that are none.
///
/// After an error, what was written so far is still a map of the arguments before it.
#[derive(Debug)]
pub struct ArgsWriter<'a> {
    to: &'a mut Vec<u8>,
    listed: Listed<'a>,
    head_at: usize,
    head: Head,
    written: usize,
}

impl<'a> ArgsWriter<'a> {
    /// Begins a map of at most `most` arguments, appended to `to`.
    pub fn new(to: &'a mut Vec<u8>, most: usize, listed: Listed<'a>) -> Self {
        // Written for `most` arguments, so that usually only its content changes at the end.
        let head = head_of(most);
        let head_at = to.len();
        head.write(to);
        ArgsWriter { to, listed, head_at, head, written: 0 }
    }

    /// Writes an argument, unless it is none.
    ///
    /// # Errors
    ///
    /// If it cannot be encoded, or if it is not none and the peer does not list it.
    pub fn put<T: Serialize>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), ArgumentError> {
        self.put_with(name, value, None)
    }

    /// Writes an argument that has a default, unless it is none and so is the default: to a peer that
    /// does not list it, only if its value is not the default.
    ///
    /// # Errors
    ///
    /// As [`put`](ArgsWriter::put), but a default need not be listed either.
    pub fn put_or_default<T: Serialize + Default>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), ArgumentError> {
        self.put_with(name, value, Some(T::default))
    }

    /// Ends the map. Must be called; otherwise what was written is not a body.
    pub fn finish(self) {
        let (start, old) = (self.head_at, self.head.as_bytes().len());
        let head = head_of(self.written);
        self.to.splice(start..start + old, head.as_bytes().iter().copied());
    }

    #[inline]
    fn put_with<T: Serialize>(
        &mut self,
        name: &'static str,
        value: &T,
        default: Option<fn() -> T>,
    ) -> Result<(), ArgumentError> {
        let start = self.to.len();
        let put = self.try_put(name, value, default);
        if put == Ok(true) {
            self.written += 1;
        } else {
            self.to.truncate(start);
        }
        put.map(drop)
    }

    /// Writes an argument, and says whether it shall stay: not if its absence means the same.
    #[inline]
    fn try_put<T: Serialize>(
        &mut self,
        name: &'static str,
        value: &T,
        default: Option<fn() -> T>,
    ) -> Result<bool, ArgumentError> {
        let failed = |failure: Failure| ArgumentError::Encode(failure.at_name(name).into());
        write_str(name, self.to).map_err(failed)?;
        let start = self.to.len();
        let is_none = encode::write(value, self.to).map_err(failed)? == Written::None;
        match default {
            None if is_none => return Ok(false),
            None => {}
            // A none whose default is another value has to be said.
            Some(default) if is_none || !self.listed.includes(name) => {
                let mut absent = Vec::new();
                encode::write(&default(), &mut absent).map_err(failed)?;
                if absent == self.to[start..] {
                    return Ok(false);
                }
            }
            Some(_) => return Ok(true),
        }
        if self.listed.includes(name) { Ok(true) } else { Err(ArgumentError::NotListed(name)) }
    }
}

fn head_of(arguments: usize) -> Head {
    Head::new(Kind::Map, arguments).expect("a method has fewer than 2^32 arguments")
}

/// How many arguments are found without allocating.
const INLINE: usize = 8;

/// Reads the arguments of one call.
pub struct ArgsReader<'a> {
    known: &'static [Argument],
    /// The encoded value of each known argument in order; empty if it is absent, as no value is.
    inline: [&'a [u8]; INLINE],
    more: Vec<&'a [u8]>,
    /// The argument that is probably taken next.
    next: usize,
}

impl<'a> ArgsReader<'a> {
    /// Finds every argument in `body`. Unknown names, names twice and bytes after the end are
    /// refused; the latter, where the last argument is a sequence or a map, by
    /// [`take`](ArgsReader::take), so that it is not read through twice.
    ///
    /// # Errors
    ///
    /// If `body` is not a map from names that are `known`.
    pub fn parse(body: &'a [u8], known: &'static [Argument]) -> Result<Self, BodyError> {
        let mut input = Input { rest: body };
        let Token::Map(count) = input.token()? else {
            return Err(BodyError::new("", "the arguments are not a map"));
        };
        let more = match known.len().checked_sub(INLINE) {
            None | Some(0) => Vec::new(),
            Some(more) => vec![&body[..0]; more],
        };
        let mut reader = ArgsReader { known, inline: [&[]; INLINE], more, next: 0 };
        for left in (0..count).rev() {
            let name = match input.short_str() {
                Some(name) => name,
                None => match input.token()? {
                    Token::Str(name) => name,
                    _ => return Err(BodyError::new("", "an argument is not given by name")),
                },
            };
            let Some(position) = reader.position(name) else {
                return Err(BodyError::new(failure::name(name), "unknown argument"));
            };
            let value = value(&mut input, left == 0).map_err(|failure| failure.at_name(name))?;
            let slot = reader.slot(position);
            if !slot.is_empty() {
                return Err(BodyError::new(name, "argument given twice"));
            }
            *slot = value;
        }
        reader.next = 0;
        match input.rest.len() {
            0 => Ok(reader),
            left => {
                let message = format_args!("{left} bytes are left over after the arguments");
                Err(BodyError::new("", message))
            }
        }
    }

    /// Reads an argument. If it is absent it must be an `Option`, and is none.
    ///
    /// # Errors
    ///
    /// If it is absent and no `Option`, or not what a `T` can be without being misread.
    pub fn take<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &'static str,
    ) -> Result<T, BodyError> {
        self.take_or(name, || absent().map_err(|failure| failure.at_name(name).into()))
    }

    /// Reads an argument, or takes its default if it is absent.
    ///
    /// # Errors
    ///
    /// If it is not absent, and not what a `T` can be without being misread.
    pub fn take_or_default<T: Serialize + DeserializeOwned + Default>(
        &mut self,
        name: &'static str,
    ) -> Result<T, BodyError> {
        self.take_or(name, || Ok(T::default()))
    }

    #[inline]
    fn take_or<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &'static str,
        absent: impl FnOnce() -> Result<T, BodyError>,
    ) -> Result<T, BodyError> {
        let value = match self.position(name) {
            Some(position) => *self.slot(position),
            None => &[],
        };
        if value.is_empty() {
            return absent();
        }
        Decoder::new(value).verified().map_err(|failure: Failure| failure.at_name(name).into())
    }

    /// Which of the known arguments has this name. They usually come in order.
    #[inline]
    fn position(&mut self, name: &str) -> Option<usize> {
        let is_it = |argument: &Argument| argument.name == name;
        let position = match self.known.get(self.next) {
            Some(next) if is_it(next) => self.next,
            _ => self.known.iter().position(is_it)?,
        };
        self.next = position + 1;
        Some(position)
    }

    #[inline]
    fn slot(&mut self, position: usize) -> &mut &'a [u8] {
        match position.checked_sub(INLINE) {
            None => &mut self.inline[position],
            Some(position) => &mut self.more[position],
        }
    }
}

impl fmt::Debug for ArgsReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.inline.iter().chain(&self.more);
        let given = self.known.iter().zip(values).filter(|(_, value)| !value.is_empty());
        f.debug_set().entries(given.map(|(argument, _)| argument.name)).finish()
    }
}

/// The bytes of the next value: if it is the last and may be long, all the rest, since the decoder
/// refuses what is left over.
#[inline]
fn value<'a>(input: &mut Input<'a>, is_last: bool) -> Result<&'a [u8], Failure> {
    let start = input.rest;
    if is_last && input.is_at_container() {
        input.rest = &[];
        return Ok(start);
    }
    input.skip()?;
    Ok(&start[..start.len() - input.rest.len()])
}

#[cfg(test)]
mod tests;
