//! Measures what a call costs with flyrpc, raw TCP frames, tarpc, tonic and a direct call of the function.
//!
//! The program runs itself again as a server process and a client process, which are connected over the
//! loopback interface, and sends them commands, one per line ([`child`]). Each [workload](workloads)
//! collects samples of its [figures]. [`report`] prints them as lines, tables and plots.

mod bench;
mod child;
mod cli;
mod companion;
mod contenders;
mod figures;
mod handlers;
pub mod proc_status;
mod proxy;
mod report;
mod tool;
mod workloads;

use std::{
    env,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use self::companion::Companion;

/// Builds program `name` of `package`, and runs it with the arguments of this program. Returns whether it succeeded.
///
/// # Errors
///
/// Returns an error if the program cannot be built or started.
pub fn run_companion(package: &str, name: &str) -> Result<ExitCode> {
    let companion = Companion::build(package, name, &env::current_exe()?, None)?;
    let mut command = Command::new(companion.program());
    let status = command.args(env::args_os().skip(1)).status();
    let status = status.with_context(|| format!("cannot run the program `{name}`"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the program. `allocations` returns the number of allocations of this process so far.
pub fn main(allocations: fn() -> u64) -> ExitCode {
    match cli::run(allocations) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
