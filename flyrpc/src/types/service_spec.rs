//! Descriptions of services, as nodes announce them to peers and as callers declare them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The description of a service that a node serves. Peers receive it when a link opens, so that a
/// caller knows before a call whether the node supports the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServiceSpec {
    /// The service's name on the wire.
    pub name: String,
    /// Its methods.
    pub methods: Vec<MethodSpec>,
}

/// The description of a method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MethodSpec {
    /// Its name on the wire.
    pub name: String,
    /// Its arguments, in order.
    pub arguments: Vec<ArgumentSpec>,
    /// The declared return type, as text.
    pub returns: String,
    /// Whether it runs on nodes in the primary region only.
    #[serde(default)]
    pub primary: bool,
    /// Whether a call may be retried although it may have executed.
    #[serde(default)]
    pub idempotent: bool,
    /// Whether its handler runs to completion even if the caller gives up.
    #[serde(default)]
    pub detached: bool,
}

/// The description of an argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArgumentSpec {
    /// Its name on the wire.
    pub name: String,
    /// Its declared type, as text.
    pub ty: String,
    /// Whether it may be absent.
    #[serde(default)]
    pub optional: bool,
}

impl fmt::Display for MethodSpec {
    /// Formats the method like a signature in Rust: `save(note: Note, dry_run: Option<bool>) -> u64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (index, argument) in self.arguments.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{}: {}", argument.name, argument.ty)?;
        }
        write!(f, ") -> {}", self.returns)
    }
}

/// An argument as its caller declares it.
#[derive(Debug)]
pub struct Argument {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its declared type, as text.
    pub ty: &'static str,
    /// Whether it may be absent on the wire, because it is an `Option` or has `#[rpc(default)]`.
    pub optional: fn() -> bool,
}

/// A method as its caller declares it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signature {
    /// Its name on the wire.
    pub(crate) name: &'static str,
    /// Its arguments, in order.
    pub(crate) arguments: &'static [Argument],
}
