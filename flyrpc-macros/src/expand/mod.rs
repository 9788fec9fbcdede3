//! Turns a model into code. Nothing here can fail, and each generated body is a few lines that call
//! `flyrpc::__private`.
//!
//! The meaning of generated code must not depend on the names in scope around it. So generated code names
//! everything through one absolute path, calls no method of a user's type with `.`, and gives its own
//! variables the macro's hygiene.

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
