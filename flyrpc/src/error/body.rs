//! [`BodyError`].

use std::{error::Error, fmt};

/// Why a value could not be encoded, or a body not decoded as the type asked for, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BodyError {
    path: String,
    message: String,
}

impl BodyError {
    /// An error at `path`, such as `note.tags[3]`. An empty path stands for the whole value.
    pub fn new(path: impl Into<String>, message: impl fmt::Display) -> Self {
        BodyError { path: path.into(), message: message.to_string() }
    }

    /// Where in the value the error is: names of arguments, fields and variants, and indices.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong there.
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
