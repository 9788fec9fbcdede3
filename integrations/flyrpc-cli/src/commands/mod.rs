//! The commands, each as a function that returns the exit code.

pub(crate) mod call;
pub(crate) mod compat;
pub(crate) mod completions;
pub(crate) mod control;
pub(crate) mod describe;
pub(crate) mod nodes;
mod request;
pub(crate) mod secret;
