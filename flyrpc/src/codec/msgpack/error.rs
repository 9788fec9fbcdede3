//! The error of encoding and decoding: a message, and a path that grows as the error is returned.
//!
//! Nothing records the path while there is no error. Each container adds its part of the path to an error
//! that it returns, innermost first.

use std::fmt::{self, Display, Write};

use serde::{de, ser};

use crate::error::BodyError;

pub(crate) type Result<T> = std::result::Result<T, CodecError>;

/// Upper bound on the bytes kept of a message, because messages quote the input of a peer.
const MESSAGE_LIMIT: usize = 500;

/// Upper bound on the bytes kept of a name in a path.
const NAME_LIMIT: usize = 60;

/// The error of encoding and decoding. One pointer wide, so that results stay small.
#[derive(Debug)]
pub(crate) struct CodecError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    message: String,
    /// Innermost first.
    path: Vec<Segment>,
}

/// A part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// The name of an argument, a field or a variant, or a string key.
    Name(String),
    /// An index, or a key that is not a string.
    Bracketed(String),
}

impl Segment {
    pub(crate) fn name(name: &str) -> Self {
        Segment::Name(truncated_name(name))
    }

    pub(crate) fn bracketed(key: impl Display) -> Self {
        Segment::Bracketed(truncated(key, NAME_LIMIT))
    }
}

impl CodecError {
    #[cold]
    pub(crate) fn new(message: impl Display) -> Self {
        let message = truncated(message, MESSAGE_LIMIT);
        CodecError(Box::new(Inner { message, path: Vec::new() }))
    }

    #[cold]
    pub(crate) fn at_name(self, name: &str) -> Self {
        self.at(Segment::name(name))
    }

    #[cold]
    pub(crate) fn at_bracketed(self, key: impl Display) -> Self {
        self.at(Segment::bracketed(key))
    }

    pub(crate) fn at(mut self, segment: Segment) -> Self {
        self.0.path.push(segment);
        self
    }

    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether `path`, outermost first, is the path of this error or of a value within it.
    pub(crate) fn contains(&self, path: &[Segment]) -> bool {
        path.len() >= self.0.path.len() && self.0.path.iter().rev().zip(path).all(|(a, b)| a == b)
    }

    /// Replaces the path by `path`, outermost first.
    pub(crate) fn moved_to(mut self, path: Vec<Segment>) -> Self {
        self.0.path = path;
        self.0.path.reverse();
        self
    }
}

impl From<CodecError> for BodyError {
    fn from(error: CodecError) -> Self {
        let mut path = String::new();
        for segment in error.0.path.iter().rev() {
            match segment {
                Segment::Name(name) if path.is_empty() => path.push_str(name),
                Segment::Name(name) => path.extend([".", name]),
                Segment::Bracketed(key) => path.extend(["[", key, "]"]),
            }
        }
        BodyError::new(path, error.0.message)
    }
}

impl Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for CodecError {}

impl de::Error for CodecError {
    fn custom<T: Display>(message: T) -> Self {
        CodecError::new(message)
    }
}

impl ser::Error for CodecError {
    fn custom<T: Display>(message: T) -> Self {
        CodecError::new(message)
    }
}

/// Truncates a name that a peer sent to [`NAME_LIMIT`] bytes.
#[cold]
pub(crate) fn truncated_name(sent: &str) -> String {
    truncated(sent, NAME_LIMIT)
}

/// Formats `value`, truncated to `limit` bytes, without building the full text first.
fn truncated(value: impl Display, limit: usize) -> String {
    let mut truncated = Truncated { text: String::new(), limit };
    // An error means that the limit was reached, or that a `Display` failed after some text.
    let _ = write!(truncated, "{value}");
    truncated.text
}

struct Truncated {
    text: String,
    limit: usize,
}

impl Write for Truncated {
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
        let error = CodecError::new("it is not")
            .at_bracketed(7)
            .at_bracketed(3)
            .at_name("tags")
            .at_name("note");
        assert_eq!(BodyError::from(error), BodyError::new("note.tags[3][7]", "it is not"));
    }

    #[test]
    fn long_message_is_truncated_between_characters() {
        let message = truncated("é".repeat(1000), 7);
        assert_eq!(message, "ééé…");
    }
}
