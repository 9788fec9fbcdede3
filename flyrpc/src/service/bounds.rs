//! Reading and writing the types of a service such that a type that cannot cross between nodes is
//! reported once: where [`Verdict`] is asked, on that type in the user's trait.
//!
//! Generated code names every type many times, and each use of `T: Serialize` would report a `T`
//! that lacks it. So its other uses go through [`Codec`], whose functions exist for every type: for
//! one that lacks serde's traits method resolution finds those of [`Unfit`], which nothing ever
//! calls, because the verdict has failed the build.

use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    codec::{self, ArgsReader, ArgsWriter, ArgumentError},
    error::BodyError,
};

/// What generated code does with a `T`.
#[derive(Debug)]
pub struct Codec<T>(PhantomData<T>);

impl<T: Serialize> Codec<T> {
    /// Whether it can be encoded.
    pub fn encodes() -> Yes {
        Yes
    }

    /// Writes an argument.
    pub fn put(
        arguments: &mut ArgsWriter<'_>,
        name: &'static str,
        value: &T,
    ) -> Result<(), ArgumentError> {
        arguments.put(name, value)
    }

    /// Appends a reply.
    pub fn encode(value: &T, to: &mut Vec<u8>) -> Result<(), BodyError> {
        codec::encode(value, to)
    }
}

impl<T: DeserializeOwned> Codec<T> {
    /// Whether it can be decoded.
    pub fn decodes() -> Yes {
        Yes
    }

    /// Whether an argument of this type may be absent.
    pub fn is_optional() -> bool {
        codec::is_optional::<T>()
    }
}

/// What is read is also written again, where serde may have misread it.
impl<T: Serialize + DeserializeOwned> Codec<T> {
    /// Reads an argument.
    pub fn take(arguments: &mut ArgsReader<'_>, name: &'static str) -> Result<T, BodyError> {
        arguments.take(name)
    }

    /// Reads a reply.
    pub fn decode(body: &[u8]) -> Result<T, BodyError> {
        codec::decode_verified(body)
    }
}

impl<T: Send> Codec<T> {
    /// Whether it can be sent between threads.
    pub fn sends() -> Yes {
        Yes
    }
}

impl<T: Serialize + Default> Codec<T> {
    /// Writes an argument that has a default.
    pub fn put_or_default(
        arguments: &mut ArgsWriter<'_>,
        name: &'static str,
        value: &T,
    ) -> Result<(), ArgumentError> {
        arguments.put_or_default(name, value)
    }
}

impl<T: Serialize + DeserializeOwned + Default> Codec<T> {
    /// Reads an argument that has a default.
    pub fn take_or_default(
        arguments: &mut ArgsReader<'_>,
        name: &'static str,
    ) -> Result<T, BodyError> {
        arguments.take_or_default(name)
    }
}

/// Stands where `#[rpc(default)]` needs the type's default.
pub fn has_default<T: Default>() {}

/// What [`Codec`] falls back to: see the module. In scope where generated code names `Codec`.
#[allow(missing_docs)]
pub trait Unfit<T> {
    fn encodes() -> No {
        No
    }

    fn decodes() -> No {
        No
    }

    fn sends() -> No {
        No
    }

    fn put(_: &mut ArgsWriter<'_>, _: &'static str, _: &T) -> Result<(), ArgumentError> {
        unreachable!("does not build")
    }

    fn put_or_default(_: &mut ArgsWriter<'_>, _: &'static str, _: &T) -> Result<(), ArgumentError> {
        unreachable!("does not build")
    }

    fn encode(_: &T, _: &mut Vec<u8>) -> Result<(), BodyError> {
        unreachable!("does not build")
    }

    fn take(_: &mut ArgsReader<'_>, _: &'static str) -> Result<T, BodyError> {
        unreachable!("does not build")
    }

    fn take_or_default(_: &mut ArgsReader<'_>, _: &'static str) -> Result<T, BodyError> {
        unreachable!("does not build")
    }

    fn decode(_: &[u8]) -> Result<T, BodyError> {
        unreachable!("does not build")
    }

    fn is_optional() -> bool {
        unreachable!("does not build")
    }
}

impl<T> Unfit<T> for Codec<T> {}

/// The type has the trait that was asked for.
#[derive(Debug)]
pub struct Yes;

/// The type lacks the trait that was asked for.
#[derive(Debug)]
pub struct No;

/// Which of `Serialize`, `DeserializeOwned` and `Send` a type has. Its functions demand what is
/// missing, and nothing else, so that there is one error.
#[derive(Debug)]
pub struct Verdict<Encodes, Decodes, Sends>(PhantomData<(Encodes, Decodes, Sends)>);

impl<E, D, S> Verdict<E, D, S> {
    /// The verdict made of the three answers of a [`Codec`].
    pub fn of(_: E, _: D, _: S) -> Self {
        Verdict(PhantomData)
    }
}

impl<E, D, S> Verdict<E, D, S> {
    /// The verdict on a container whose contents have the verdict `of_contents`: nothing is said of
    /// it if they lack something, since that has been said of them.
    pub fn after<V: Passes<Self>>(self, _of_contents: &V) -> V::Then {
        V::then(self)
    }
}

/// What remains of a verdict on a container: it, if this verdict on the contents demands nothing.
#[allow(missing_docs)]
pub trait Passes<V> {
    type Then;

    fn then(container: V) -> Self::Then;
}

impl<V> Passes<V> for Verdict<Yes, Yes, Yes> {
    type Then = V;

    fn then(container: V) -> V {
        container
    }
}

/// Nothing to say of a container.
type Nothing = Verdict<Yes, Yes, Yes>;

impl<V, D, S> Passes<V> for Verdict<No, D, S> {
    type Then = Nothing;

    fn then(_: V) -> Nothing {
        Verdict(PhantomData)
    }
}

impl<V, S> Passes<V> for Verdict<Yes, No, S> {
    type Then = Nothing;

    fn then(_: V) -> Nothing {
        Verdict(PhantomData)
    }
}

impl<V> Passes<V> for Verdict<Yes, Yes, No> {
    type Then = Nothing;

    fn then(_: V) -> Nothing {
        Verdict(PhantomData)
    }
}

impl Verdict<Yes, Yes, Yes> {
    /// Nothing is missing.
    pub fn crosses_between_nodes<T: 'static>(&self) {}
}

impl<S> Verdict<No, No, S> {
    /// Both of serde's traits are missing.
    pub fn crosses_between_nodes<T: SerializeAndDeserialize>(&self) {}
}

impl<S> Verdict<No, Yes, S> {
    /// `Serialize` is missing.
    pub fn crosses_between_nodes<T: Serialize>(&self) {}
}

impl<S> Verdict<Yes, No, S> {
    /// `DeserializeOwned` is missing.
    pub fn crosses_between_nodes<T: DeserializeOwned>(&self) {}
}

impl Verdict<Yes, Yes, No> {
    /// `Send` is missing.
    pub fn crosses_between_nodes<T: Send>(&self) {}
}

/// Implemented by no type: it exists for its message, which names both of serde's traits where the
/// bound `Serialize + DeserializeOwned` would give an error for each.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to another node: it is neither `serde::Serialize` nor `serde::Deserialize`",
    label = "neither `Serialize` nor `Deserialize`",
    note = "arguments and return types of a `#[fly_rpc]` trait are encoded and decoded with serde",
    note = "annotate the types that are yours with `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait SerializeAndDeserialize {}

/// `Serialize`, in a form that can stand in a `where` clause without being checked there: one with
/// a bound lifetime. The derived impls of requests and replies assume it of their fields.
pub trait Encodes<'a>: Serialize {}

impl<T: Serialize> Encodes<'_> for T {}

/// `DeserializeOwned`, likewise.
pub trait Decodes<'a>: DeserializeOwned {}

impl<T: DeserializeOwned> Decodes<'_> for T {}

/// `Send`, likewise. The impls that need a request or reply to be `Send` assume it of their fields.
pub trait Sends<'a>: Send {}

impl<T: Send> Sends<'_> for T {}
