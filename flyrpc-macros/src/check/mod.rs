//! Checks an annotated trait and turns it into a model. Every rule runs, even after another one has failed,
//! so one build reports every error.

mod argument;
mod method;
mod service;
mod types;
mod wire_name;

pub(crate) use self::{
    service::{Checked, check},
    types::is_allowed,
};
