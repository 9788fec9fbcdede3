//! Checks an annotated trait and turns it into a model. Each rule is a function, and every rule runs even if
//! another one fails, so one build reports every error.

mod argument;
mod method;
mod scope;
mod service;
mod types;
mod wire_name;

pub(crate) use self::service::{Checked, check};
