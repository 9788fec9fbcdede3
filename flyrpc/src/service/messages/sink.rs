//! Where generated code writes arguments and responses.

use serde::Serialize;

use crate::{
    codec::{ArgsWriter, ArgumentError, EncodedBody},
    error::BodyError,
};

/// Receives the arguments of a request, in the order of their declaration.
pub trait ArgumentSink {
    /// The reason why an argument could not be written.
    type Error;

    /// Writes an argument.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be encoded, or if the receiver does not accept the argument.
    fn put<T: Serialize + 'static>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Self::Error>;

    /// Writes an argument that has a default.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`put`](ArgumentSink::put).
    fn put_or_default<T: Serialize + Default + 'static>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Self::Error>;
}

impl ArgumentSink for ArgsWriter<'_> {
    type Error = ArgumentError;

    #[inline]
    fn put<T: Serialize + 'static>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), ArgumentError> {
        ArgsWriter::put(self, name, value)
    }

    #[inline]
    fn put_or_default<T: Serialize + Default + 'static>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), ArgumentError> {
        ArgsWriter::put_or_default(self, name, value)
    }
}

/// Receives the value of a response.
pub trait ResponseSink {
    /// The result of writing the value.
    type Ok;
    /// The reason why the value could not be written.
    type Error;

    /// Writes the value.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be encoded.
    fn put<T: Serialize + 'static>(self, value: &T) -> Result<Self::Ok, Self::Error>;
}

/// Appends the encoded value.
impl ResponseSink for &mut EncodedBody {
    type Ok = ();
    type Error = BodyError;

    #[inline]
    fn put<T: Serialize + 'static>(self, value: &T) -> Result<(), BodyError> {
        EncodedBody::put(self, value)?;
        Ok(())
    }
}
