//! Turns a model into code. Nothing here can fail, and each generated body is a few lines that call
//! `flyrpc::__private`.
//!
//! The meaning of generated code must not depend on the names in scope around it. So generated code names
//! everything, primitive types included, through one import of its own, calls no method of a user's type with
//! `.`, chooses names of type parameters that the trait does not contain, and hides constants with the names
//! of its variables.

pub(crate) mod client;
pub(crate) mod common;
mod items;
mod messages;
mod method_table;
mod requirements;
mod server;
mod service_trait;
mod tarpc;
mod variables;

pub(crate) use self::items::{expand, expand_for};
