//! [`BodyError`].

use std::{error::Error, fmt};

/// The error of encoding a value, or of decoding a body as the expected type. Contains the position in
/// the value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BodyError {
    path: String,
    message: String,
}

impl BodyError {
    /// Creates an error at `path`, such as `note.tags[3]`. An empty path stands for the whole value.
    pub fn new(path: impl Into<String>, message: impl fmt::Display) -> Self {
        BodyError { path: path.into(), message: message.to_string() }
    }

    /// The position in the value: names of arguments, fields and variants, and indices.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The description of the error at that position.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl Error for BodyError {}
