//! Serializes requests and responses.

use serde::ser::{Serialize, SerializeStructVariant, Serializer};

use super::{
    sink::{ArgumentSink, ResponseSink},
    variants::Variants,
};

/// Serializes a request as a struct variant of the enum `name`.
pub fn serialize_request<R: Variants, S: Serializer>(
    name: &'static str,
    request: &R,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let method = request.method();
    let count = R::methods()[method].arguments.len();
    let variant = R::NAMES[method];
    let fields = serializer.serialize_struct_variant(name, index(method), variant, count)?;
    let mut fields = FieldSink(fields);
    request.encode(&mut fields)?;
    fields.0.end()
}

/// Serializes a response as a newtype variant of the enum `name`.
pub fn serialize_response<R: Variants, S: Serializer>(
    name: &'static str,
    response: &R::Response,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let method = R::method_of(response);
    R::encode_response(
        response,
        NewtypeSink { serializer, name, method, variant: R::NAMES[method] },
    )
}

fn index(method: usize) -> u32 {
    method.try_into().expect("a trait has fewer than 2^32 methods")
}

/// Writes arguments as the fields of a struct variant.
struct FieldSink<F>(F);

impl<F: SerializeStructVariant> ArgumentSink for FieldSink<F> {
    type Error = F::Error;

    fn put<T: Serialize + 'static>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), F::Error> {
        self.0.serialize_field(name, value)
    }

    fn put_or_default<T: Serialize + Default + 'static>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), F::Error> {
        self.0.serialize_field(name, value)
    }
}

/// Writes a value as a newtype variant.
struct NewtypeSink<S> {
    serializer: S,
    name: &'static str,
    method: usize,
    variant: &'static str,
}

impl<S: Serializer> ResponseSink for NewtypeSink<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn put<T: Serialize + 'static>(self, value: &T) -> Result<S::Ok, S::Error> {
        let NewtypeSink { serializer, name, method, variant } = self;
        serializer.serialize_newtype_variant(name, index(method), variant, value)
    }
}
