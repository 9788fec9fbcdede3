//! Encodes the arguments of a call for the node that will decode them.

use std::fmt;

use serde::Serialize;

use crate::{
    codec::{
        EncodedBody,
        encoded::Mark,
        msgpack::{CodecError, Head, Kind, Written, write, write_str},
    },
    error::BodyError,
};

/// The reason why an argument could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentError {
    /// Its `Serialize` failed, or the format cannot represent its value.
    Encode(BodyError),
    /// It is not `None`, and the serving node's method has no argument with this name.
    NotAccepted(&'static str),
}

impl From<BodyError> for ArgumentError {
    fn from(error: BodyError) -> Self {
        ArgumentError::Encode(error)
    }
}

/// The arguments that the serving node accepts for a method.
#[derive(Clone, Copy)]
pub enum AcceptedArgs<'a> {
    /// All arguments that the caller declares.
    All,
    /// The arguments for whose name the function returns `true`.
    Only(&'a dyn Fn(&str) -> bool),
}

impl AcceptedArgs<'_> {
    fn contains(self, name: &str) -> bool {
        match self {
            AcceptedArgs::All => true,
            AcceptedArgs::Only(accepts) => accepts(name),
        }
    }
}

impl fmt::Debug for AcceptedArgs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AcceptedArgs::All => "All",
            AcceptedArgs::Only(_) => "Only(..)",
        })
    }
}

/// Writes the arguments of one call as a map from name to value, without the arguments that are `None`.
///
/// After an error, the buffer still contains the arguments before the failed one.
#[derive(Debug)]
pub struct ArgsWriter<'a> {
    to: &'a mut EncodedBody,
    accepted: AcceptedArgs<'a>,
    head_at: Mark,
    max: usize,
    written: usize,
}

impl<'a> ArgsWriter<'a> {
    /// Begins a map of at most `max` arguments, appended to `to`.
    #[inline(always)]
    pub fn new(to: &'a mut EncodedBody, max: usize, accepted: AcceptedArgs<'a>) -> Self {
        let head_at = to.mark();
        // Usually the final head.
        head_for(max).write(to.buffer());
        ArgsWriter { to, accepted, head_at, max, written: 0 }
    }

    /// Writes an argument, unless it is `None`.
    ///
    /// # Errors
    ///
    /// Returns an error if the argument cannot be encoded, or if it is not `None` and the serving node
    /// does not accept it.
    pub fn put<T: Serialize + 'static>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), ArgumentError> {
        self.put_with(name, value, None)
    }

    /// Writes an argument that has a default, unless the value and the default are both `None`. If the
    /// serving node does not accept the argument, only the default is allowed, and it is omitted.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`put`](ArgsWriter::put), except that a default value is not an error.
    pub fn put_or_default<T: Serialize + Default + 'static>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), ArgumentError> {
        self.put_with(name, value, Some(T::default))
    }

    /// Ends the map. Without this call, the buffer does not contain a valid body.
    pub fn finish(self) {
        if self.written != self.max {
            let old = head_for(self.max).as_bytes().len();
            self.to.replace_head(self.head_at, old, head_for(self.written));
        }
    }

    #[inline]
    fn put_with<T: Serialize + 'static>(
        &mut self,
        name: &'static str,
        value: &T,
        default: Option<fn() -> T>,
    ) -> Result<(), ArgumentError> {
        let start = self.to.mark();
        let put = self.try_put(name, value, default);
        if put == Ok(true) {
            self.written += 1;
        } else {
            self.to.truncate(start);
        }
        put.map(drop)
    }

    /// Writes an argument, and returns whether to keep it. It is not kept if its absence means the same.
    #[inline]
    fn try_put<T: Serialize + 'static>(
        &mut self,
        name: &'static str,
        value: &T,
        default: Option<fn() -> T>,
    ) -> Result<bool, ArgumentError> {
        let failed = |error: CodecError| ArgumentError::Encode(error.at_name(name).into());
        write_str(name, self.to.buffer()).map_err(failed)?;
        let start = self.to.mark();
        let is_none = self.to.put(value).map_err(failed)? == Written::None;
        match default {
            None if is_none => return Ok(false),
            None => {}
            // `None` must be sent if the default is another value.
            Some(default) if is_none || !self.accepted.contains(name) => {
                let mut absent = Vec::new();
                write(&default(), &mut absent).map_err(failed)?;
                if self.to.has_appended(start, &absent) {
                    return Ok(false);
                }
            }
            Some(_) => return Ok(true),
        }
        if self.accepted.contains(name) { Ok(true) } else { Err(ArgumentError::NotAccepted(name)) }
    }
}

fn head_for(arguments: usize) -> Head {
    Head::new(Kind::Map, arguments).expect("a method has fewer than 2^32 arguments")
}
