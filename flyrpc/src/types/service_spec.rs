//! What a node says of the services that it serves, so that its callers know before they call.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a node says of a service that it serves, so that its callers know before they call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServiceSpec {
    /// The service's name on the wire.
    pub name: String,
    /// Its methods.
    pub methods: Vec<MethodSpec>,
}

/// What a node says of a method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MethodSpec {
    /// Its name on the wire.
    pub name: String,
    /// Its arguments, in order.
    pub arguments: Vec<ArgumentSpec>,
    /// The declared return type, as text.
    pub returns: String,
    /// Whether it runs on primary nodes only.
    #[serde(default)]
    pub primary: bool,
    /// Whether it may be tried again although it may have executed.
    #[serde(default)]
    pub idempotent: bool,
    /// Whether it runs to its end although its caller is gone.
    #[serde(default)]
    pub detached: bool,
}

/// What a node says of an argument.
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
    /// As in Rust: `save(note: Note, dry_run: Option<bool>) -> u64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        for (position, argument) in self.arguments.iter().enumerate() {
            let comma = if position > 0 { ", " } else { "" };
            write!(f, "{comma}{}: {}", argument.name, argument.ty)?;
        }
        write!(f, ") -> {}", self.returns)
    }
}

/// One argument of a method.
#[derive(Debug)]
pub struct Argument {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its declared type, as text.
    pub ty: &'static str,
    /// Whether it may be absent on the wire: an `Option`, or `#[rpc(default)]`.
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
