//! The processes that are measured: each does what lines on its standard input say, and answers
//! each with a line. [`Child`] is one of them as the benchmark sees it, [`run`] as it sees itself.

mod commands;
mod load;
mod local;
mod process;
mod routing;
mod snapshot;
mod work;

pub(crate) use self::{
    commands::{Call, Command, Load, Measured, Reply},
    local::Way,
    process::{Child, Pair, Plan},
    routing::TableOp,
    snapshot::Snapshot,
    work::{Role, run},
};
