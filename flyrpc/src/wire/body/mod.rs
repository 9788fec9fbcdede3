//! Arguments and replies as MessagePack with names, read strictly.

use serde::{Serialize, de::DeserializeOwned};

use crate::{BodyError, service::Argument};

/// Why an argument could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentError {
    /// Its `Serialize` failed, or it holds something that the format cannot carry.
    Encode(BodyError),
    /// It has a value, and the peer's method has no argument of that name.
    NotListed(&'static str),
}

/// Which arguments the serving side lists for a method.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)]
pub enum Listed<'a> {
    /// All of ours.
    All,
    /// Those for which the function says `true`.
    Only(&'a dyn Fn(&str) -> bool),
}

/// Writes the arguments of one call as a map from name to value, leaving out those that are none.
pub struct ArgsWriter<'a> {
    to: &'a mut Vec<u8>,
    listed: Listed<'a>,
}

impl<'a> ArgsWriter<'a> {
    /// Begins a map of at most `most` arguments, appended to `to`.
    pub fn new(to: &'a mut Vec<u8>, most: usize, listed: Listed<'a>) -> Self {
        todo!()
    }

    /// Writes an argument, unless it is none.
    pub fn put<T: Serialize>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), ArgumentError> {
        todo!()
    }

    /// Writes an argument that has a default: to a peer that does not list it, only if its value is another.
    pub fn put_or_default<T: Serialize + Default>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), ArgumentError> {
        todo!()
    }

    /// Ends the map. Must be called; otherwise what was written is not a body.
    pub fn finish(self) {
        todo!()
    }
}

/// Reads the arguments of one call.
pub struct ArgsReader<'a> {
    body: &'a [u8],
}

impl<'a> ArgsReader<'a> {
    /// Finds every argument in `body`. Unknown names, names twice and bytes after the end are
    /// refused.
    pub fn parse(body: &'a [u8], known: &'static [Argument]) -> Result<Self, BodyError> {
        todo!()
    }

    /// Reads an argument. If it is absent it must be an `Option`, and is none.
    pub fn take<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<T, BodyError> {
        todo!()
    }

    /// Reads an argument, or takes its default if it is absent.
    pub fn take_or_default<T: DeserializeOwned + Default>(
        &mut self,
        name: &'static str,
    ) -> Result<T, BodyError> {
        todo!()
    }
}

/// Appends the encoding of `value`.
pub fn encode<T: Serialize>(value: &T, to: &mut Vec<u8>) -> Result<(), BodyError> {
    todo!()
}

/// Reads a value that takes up all of `body`.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    todo!()
}

/// Whether a `T` may be absent from a map of arguments: whether it is an `Option`.
pub fn is_optional<T: DeserializeOwned>() -> bool {
    todo!()
}
