//! The processes that are measured: each carries out commands from its standard input, one a line, and
//! replies to each with a line. [`Child`] is the benchmark's side of one, [`run`] its own.

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
