//! From a model to code. Nothing here can fail, and the generated bodies are a few lines that call
//! `flyrpc::__private`.
//!
//! Generated code must mean the same wherever it is placed, so it names everything through one absolute
//! path, calls no method of a user's type by `.`, and gives its own variables the macro's hygiene.

pub(crate) mod client;
pub(crate) mod common;
mod items;
pub(crate) mod messages;
mod method_table;
mod requirements;
pub(crate) mod server;
mod service_trait;
pub(crate) mod tarpc;

pub(crate) use self::items::expand;
