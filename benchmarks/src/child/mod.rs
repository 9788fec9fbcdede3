//! The measured processes. Each carries out commands from its standard input, one per line, and replies
//! to each with a line. [`Child`] is the handle of such a process in the benchmark, and [`run`] is what
//! the process executes.

mod commands;
mod load;
mod local;
mod process;
mod routing;
mod snapshot;
mod work;

pub(crate) use self::{
    commands::{Call, Command, Load, Measured, Reply},
    local::LocalPath,
    process::{Child, Pair, Plan},
    routing::TableOp,
    snapshot::Snapshot,
    work::{Role, run},
};
