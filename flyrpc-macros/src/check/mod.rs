//! From what the user wrote to a model. Each rule is a function, and all of them run, so that one build
//! reports every error.

mod argument;
mod method;
mod service;
mod types;
mod wire_name;

pub(crate) use self::{
    service::{Checked, check},
    types::is_allowed,
};
