//! Checks the requirements on the types of a service. The compiler reports a type that does not meet
//! them once, at that type in the user's trait.
//!
//! Generated code names every type many times. If each use required `T: Serialize`, each would report a
//! `T` that does not implement it. Therefore, only [`WireTraits`] requires traits, once for each type.
//! Other uses go through [`Codec`], whose functions exist for every type. They are inherent if the type
//! has the traits that they need. Otherwise, method resolution falls back to [`NotSerializable`], whose
//! functions are never called, because the failed requirement has already failed the build. The exception is whether a
//! type is a `Result`, which is no requirement.

use std::marker::PhantomData;

use bytes::Bytes;
use serde::{
    Serialize,
    de::{self, DeserializeOwned, MapAccess, SeqAccess, VariantAccess},
};

use crate::{
    codec::{self, ArgsReader},
    error::BodyError,
    service::messages::{ArgumentSink, Field, Fields, FieldsVisitor, ResponseSink},
};

/// Encodes and decodes a `T`, and reports which of the required traits `T` implements.
#[derive(Debug)]
pub struct Codec<T>(PhantomData<T>);

impl<T: Serialize> Codec<T> {
    /// Whether `T` is `Serialize`.
    pub fn encodes() -> Yes {
        Yes
    }

    /// Writes an argument.
    #[inline]
    pub fn put<S: ArgumentSink>(
        arguments: &mut S,
        name: &'static str,
        value: &T,
    ) -> Result<(), S::Error>
    where
        T: 'static,
    {
        arguments.put(name, value)
    }

    /// Writes a response.
    #[inline]
    pub fn encode<S: ResponseSink>(value: &T, to: S) -> Result<S::Ok, S::Error>
    where
        T: 'static,
    {
        to.put(value)
    }
}

impl<T: DeserializeOwned> Codec<T> {
    /// Whether `T` is `DeserializeOwned`.
    pub fn decodes() -> Yes {
        Yes
    }

    /// Whether an argument of this type may be absent.
    pub fn is_optional() -> bool {
        codec::is_optional::<T>()
    }

    /// The fields of a serialized request: an argument of this type, then `rest`.
    pub fn field<'de, R: Fields<'de>>(rest: R) -> impl Fields<'de, Values = (T, R::Values)> {
        Field::before(rest)
    }

    /// Reads the value of a serialized response.
    pub fn read<'de, A: VariantAccess<'de>>(content: A) -> Result<T, A::Error> {
        content.newtype_variant()
    }
}

/// Decoding also needs `Serialize`: a value that serde may have misread is encoded again and compared.
impl<T: Serialize + DeserializeOwned> Codec<T> {
    /// Reads an argument.
    pub fn take(arguments: &mut ArgsReader<'_>, name: &'static str) -> Result<T, BodyError>
    where
        T: 'static,
    {
        arguments.take(name)
    }

    /// Reads a response.
    pub fn decode(body: &Bytes) -> Result<T, BodyError>
    where
        T: 'static,
    {
        codec::decode_response(body)
    }
}

impl<T, E> Codec<Result<T, E>> {
    /// Whether this is the codec of a `Result`.
    pub const IS_RESULT: bool = true;

    /// Whether a value is an `Err`.
    pub fn is_err(value: &Result<T, E>) -> bool {
        value.is_err()
    }
}

impl<T: Send> Codec<T> {
    /// Whether `T` is `Send`.
    pub fn sends() -> Yes {
        Yes
    }
}

impl<T: Serialize + Default> Codec<T> {
    /// Writes an argument that has a default.
    #[inline]
    pub fn put_or_default<S: ArgumentSink>(
        arguments: &mut S,
        name: &'static str,
        value: &T,
    ) -> Result<(), S::Error>
    where
        T: 'static,
    {
        arguments.put_or_default(name, value)
    }
}

impl<T: Serialize + DeserializeOwned + Default> Codec<T> {
    /// Reads an argument that has a default.
    pub fn take_or_default(
        arguments: &mut ArgsReader<'_>,
        name: &'static str,
    ) -> Result<T, BodyError>
    where
        T: 'static,
    {
        arguments.take_or_default(name)
    }
}

/// For a request.
impl<T> Codec<T> {
    /// Reads the fields `names` of a variant.
    pub fn read_fields<'de, F: Fields<'de>, A: VariantAccess<'de>>(
        content: A,
        names: &'static [&'static str],
        fields: F,
    ) -> Result<F::Values, A::Error> {
        content.struct_variant(names, FieldsVisitor { names, fields })
    }
}

/// Requires `Default`, which `#[rpc(default)]` needs.
pub fn has_default<T: Default>() {}

/// The fallback for the functions of [`Codec`]. Generated code that uses `Codec` has this trait in scope.
#[allow(missing_docs)]
pub trait NotSerializable<T> {
    const IS_RESULT: bool = false;

    fn is_err(_: &T) -> bool {
        false
    }

    fn encodes() -> No {
        No
    }

    fn decodes() -> No {
        No
    }

    fn sends() -> No {
        No
    }

    fn put<S: ArgumentSink>(_: &mut S, _: &'static str, _: &T) -> Result<(), S::Error> {
        never_called()
    }

    fn put_or_default<S: ArgumentSink>(_: &mut S, _: &'static str, _: &T) -> Result<(), S::Error> {
        never_called()
    }

    fn encode<S: ResponseSink>(_: &T, _: S) -> Result<S::Ok, S::Error> {
        never_called()
    }

    fn field<'de, R: Fields<'de>>(_: R) -> impl Fields<'de, Values = (T, R::Values)> {
        NeverRead::<T, R>(PhantomData, PhantomData)
    }

    fn read<'de, A: VariantAccess<'de>>(_: A) -> Result<T, A::Error> {
        never_called()
    }

    fn take(_: &mut ArgsReader<'_>, _: &'static str) -> Result<T, BodyError> {
        never_called()
    }

    fn take_or_default(_: &mut ArgsReader<'_>, _: &'static str) -> Result<T, BodyError> {
        never_called()
    }

    fn decode(_: &[u8]) -> Result<T, BodyError> {
        never_called()
    }

    fn is_optional() -> bool {
        never_called()
    }
}

impl<T> NotSerializable<T> for Codec<T> {}

/// The fields of a variant with a field that is not `DeserializeOwned`.
struct NeverRead<T, Rest>(PhantomData<T>, PhantomData<Rest>);

impl<'de, T, Rest: Fields<'de>> Fields<'de> for NeverRead<T, Rest> {
    type Values = (T, Rest::Values);

    fn read_seq<A: SeqAccess<'de>>(
        self,
        _: &mut A,
        _: usize,
        _: &'static [&'static str],
    ) -> Result<Self::Values, A::Error> {
        never_called()
    }

    fn read_entry<A: MapAccess<'de>>(
        &mut self,
        _: &mut A,
        _: usize,
        _: &'static str,
    ) -> Result<(), A::Error> {
        never_called()
    }

    fn finish<E: de::Error>(self, _: &'static [&'static str]) -> Result<Self::Values, E> {
        never_called()
    }
}

fn never_called() -> ! {
    unreachable!("the failed requirement on the type has failed the build")
}

/// The type implements the trait.
#[derive(Debug)]
pub struct Yes;

/// The type does not implement the trait.
#[derive(Debug)]
pub struct No;

/// Records which of `Serialize`, `DeserializeOwned` and `Send` a type implements. `is_sent_between_nodes`
/// requires only the missing traits, so that there is one error.
#[derive(Debug)]
pub struct WireTraits<Encodes, Decodes, Sends>(PhantomData<(Encodes, Decodes, Sends)>);

impl<E, D, S> WireTraits<E, D, S> {
    /// Records the traits of a type from the results of the three probes of its [`Codec`].
    pub fn new(_: E, _: D, _: S) -> Self {
        WireTraits(PhantomData)
    }

    /// Returns the traits to check for a container. If its contents lack a trait, the container is assumed
    /// to have all traits, because the error has already been reported for the contents.
    pub fn unless_missing_in<C: Contents<Self>>(self, _contents: &C) -> C::Required {
        C::required(self)
    }
}

/// The traits of a container's contents. They decide which traits are required of the `Container`.
#[allow(missing_docs)]
pub trait Contents<Container> {
    type Required;

    fn required(container: Container) -> Self::Required;
}

impl<C> Contents<C> for WireTraits<Yes, Yes, Yes> {
    type Required = C;

    fn required(container: C) -> C {
        container
    }
}

/// All traits are implemented, so nothing is required.
type Complete = WireTraits<Yes, Yes, Yes>;

impl<C, D, S> Contents<C> for WireTraits<No, D, S> {
    type Required = Complete;

    fn required(_: C) -> Complete {
        WireTraits(PhantomData)
    }
}

impl<C, S> Contents<C> for WireTraits<Yes, No, S> {
    type Required = Complete;

    fn required(_: C) -> Complete {
        WireTraits(PhantomData)
    }
}

impl<C> Contents<C> for WireTraits<Yes, Yes, No> {
    type Required = Complete;

    fn required(_: C) -> Complete {
        WireTraits(PhantomData)
    }
}

// Generated code calls `is_result_sent_between_nodes` for an alias of `Result` that does not name its error
// type, such as `anyhow::Result<T>`, and `is_shared_sent_between_nodes` for `Arc` and `Rc`.

impl WireTraits<Yes, Yes, Yes> {
    /// Nothing is missing.
    pub fn is_sent_between_nodes<T: ?Sized + 'static>(&self) {}

    /// Nothing is missing.
    pub fn is_result_sent_between_nodes<T: 'static>(&self) {}

    /// Nothing is missing.
    pub fn is_shared_sent_between_nodes<T: 'static>(&self) {}
}

impl<S> WireTraits<No, No, S> {
    /// Both of serde's traits are missing.
    pub fn is_sent_between_nodes<T: ?Sized + SerializeAndDeserialize>(&self) {}

    /// Both of serde's traits are missing, although the type of the value has them.
    pub fn is_result_sent_between_nodes<T: ResultSerializeAndDeserialize>(&self) {}

    /// Both of serde's traits are missing.
    pub fn is_shared_sent_between_nodes<T: SharedSerializeAndDeserialize>(&self) {}
}

impl<S> WireTraits<No, Yes, S> {
    /// `Serialize` is missing.
    pub fn is_sent_between_nodes<T: ?Sized + Serialize>(&self) {}

    /// `Serialize` is missing.
    pub fn is_result_sent_between_nodes<T: Serialize>(&self) {}

    /// `Serialize` is missing.
    pub fn is_shared_sent_between_nodes<T: Serialize>(&self) {}
}

impl<S> WireTraits<Yes, No, S> {
    /// `DeserializeOwned` is missing.
    pub fn is_sent_between_nodes<T: DeserializeToo>(&self) {}

    /// `DeserializeOwned` is missing.
    pub fn is_result_sent_between_nodes<T: DeserializeOwned>(&self) {}

    /// `DeserializeOwned` is missing.
    pub fn is_shared_sent_between_nodes<T: DeserializeOwned>(&self) {}
}

impl WireTraits<Yes, Yes, No> {
    /// `Send` is missing.
    pub fn is_sent_between_nodes<T: ?Sized + Send>(&self) {}

    /// `Send` is missing.
    pub fn is_result_sent_between_nodes<T: Send>(&self) {}

    /// `Send` is missing.
    pub fn is_shared_sent_between_nodes<T: Send>(&self) {}
}

/// Implemented by no type. It exists for its error message, which covers both of serde's traits. The bound
/// `Serialize + DeserializeOwned` would cause one error for each of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to another node: it is neither `serde::Serialize` nor `serde::Deserialize`",
    label = "neither `Serialize` nor `Deserialize`",
    note = "arguments and return types of a `#[fly_rpc]` trait are encoded and decoded with serde",
    note = "annotate the types that are yours with `#[derive(serde::Serialize, serde::Deserialize)]`, also those in `{Self}`"
)]
pub trait SerializeAndDeserialize {}

/// Like [`SerializeAndDeserialize`], for a type that is only `Serialize`. The message for `DeserializeOwned` would not
/// mention the derive macro.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to another node: it is `serde::Serialize`, but not `serde::Deserialize`",
    label = "not `Deserialize`",
    note = "annotate the types that are yours with `#[derive(serde::Deserialize)]`, also those in `{Self}`"
)]
pub trait DeserializeToo {}

/// Like [`SerializeAndDeserialize`], for `Arc` and `Rc`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to another node: it is neither `serde::Serialize` nor `serde::Deserialize`",
    label = "neither `Serialize` nor `Deserialize`",
    note = "write an owned type instead, such as `String` for `Arc<str>`",
    note = "or enable serde's feature `rc`, with which `Arc<T>` and `Rc<T>` implement the traits if `T` does"
)]
pub trait SharedSerializeAndDeserialize {}

/// Like [`SerializeAndDeserialize`], for aliases of `Result`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to another node: it is neither `serde::Serialize` nor `serde::Deserialize`",
    label = "neither `Serialize` nor `Deserialize`",
    note = "arguments and return types of a `#[fly_rpc]` trait are encoded and decoded with serde",
    note = "annotate the types that are yours with `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait ResultSerializeAndDeserialize {}

/// The message is about the error type, because the value type has both traits.
impl<T, E: ErrorSerializeAndDeserialize> ResultSerializeAndDeserialize for Result<T, E> {}

/// Like [`SerializeAndDeserialize`], for the error type of an alias of `Result`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to another node: it is neither `serde::Serialize` nor `serde::Deserialize`",
    label = "the error type of this `Result` is `{Self}`",
    note = "write the error type: `std::result::Result<T, E>`, where `E` is a type of yours with \
            `#[derive(serde::Serialize, serde::Deserialize)]`, or `String`"
)]
pub trait ErrorSerializeAndDeserialize {}

/// `Send` with a lifetime parameter, for impls that need a request or response to be `Send`. The compiler
/// assumes a `where` clause that binds the lifetime, such as `for<'a> Note: Sends<'a>`, instead of checking it
/// where it is written.
pub trait Sends<'a>: Send {}

impl<T: Send> Sends<'_> for T {}
