//! The error inside the body layer: a message, and a path that grows while the error goes up.
//!
//! Nothing about paths is kept while things go well. Whoever passes an error on adds where it came
//! from, innermost first.

use std::fmt::{self, Display, Write};

use serde::{de, ser};

use super::format::{Input, Token};
use crate::error::BodyError;

pub(super) type Result<T> = std::result::Result<T, Failure>;

/// The most of a message that is kept, in bytes. Messages quote what a peer sent.
const MESSAGE_LIMIT: usize = 500;

/// The most of a name in a path that is kept, in bytes.
const NAME_LIMIT: usize = 60;

/// One pointer wide, so that results stay small on the way up.
#[derive(Debug)]
pub(super) struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    message: String,
    /// Innermost first.
    path: Vec<Segment>,
}

#[derive(Debug)]
enum Segment {
    /// Of an argument, a field, a variant, or a string key.
    Name(String),
    /// An index, or a key that is no string.
    Bracketed(String),
}

impl Failure {
    #[cold]
    pub(super) fn new(message: impl Display) -> Self {
        let message = clipped(message, MESSAGE_LIMIT);
        Failure(Box::new(Inner { message, path: Vec::new() }))
    }

    #[cold]
    pub(super) fn at_name(mut self, name: &str) -> Self {
        self.0.path.push(Segment::Name(self::name(name)));
        self
    }

    #[cold]
    pub(super) fn at_bracketed(mut self, key: impl Display) -> Self {
        self.0.path.push(Segment::Bracketed(clipped(key, NAME_LIMIT)));
        self
    }

    /// At the value of the map key that `key` begins with.
    #[cold]
    pub(super) fn at_key(self, mut key: Input<'_>) -> Self {
        match key.token() {
            Ok(Token::Str(name)) => self.at_name(name),
            Ok(Token::Unsigned(key)) => self.at_bracketed(key),
            Ok(Token::Negative(key)) => self.at_bracketed(key),
            _ => self.at_bracketed("…"),
        }
    }
}

impl From<Failure> for BodyError {
    fn from(failure: Failure) -> Self {
        let mut path = String::new();
        for segment in failure.0.path.iter().rev() {
            match segment {
                Segment::Name(name) if path.is_empty() => path.push_str(name),
                Segment::Name(name) => path.extend([".", name]),
                Segment::Bracketed(key) => path.extend(["[", key, "]"]),
            }
        }
        BodyError::new(path, failure.0.message)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: Display>(message: T) -> Self {
        Failure::new(message)
    }
}

impl ser::Error for Failure {
    fn custom<T: Display>(message: T) -> Self {
        Failure::new(message)
    }
}

/// A name that a peer sent, cut off where it is too long for a path.
#[cold]
pub(super) fn name(sent: &str) -> String {
    clipped(sent, NAME_LIMIT)
}

/// The text of `value`, cut off after `limit` bytes without first being made in full.
fn clipped(value: impl Display, limit: usize) -> String {
    let mut clipped = Clipped { text: String::new(), limit };
    // The only error is that the limit was reached, and a `Display` that fails by itself has still
    // said something.
    let _ = write!(clipped, "{value}");
    clipped.text
}

struct Clipped {
    text: String,
    limit: usize,
}

impl Write for Clipped {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.limit.saturating_sub(self.text.len());
        if more.len() <= room {
            self.text.push_str(more);
            return Ok(());
        }
        let end = (0..=room).rev().find(|end| more.is_char_boundary(*end)).unwrap_or(0);
        self.text.push_str(&more[..end]);
        self.text.push('…');
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_reads_from_the_outside_in() {
        let failure = Failure::new("it is not")
            .at_bracketed(7)
            .at_bracketed(3)
            .at_name("tags")
            .at_name("note");
        assert_eq!(BodyError::from(failure), BodyError::new("note.tags[3][7]", "it is not"));
    }

    #[test]
    fn long_message_is_cut_at_a_character() {
        let message = clipped("é".repeat(1000), 7);
        assert_eq!(message, "ééé…");
    }
}
