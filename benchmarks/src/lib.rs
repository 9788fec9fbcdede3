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

use std::process::ExitCode;

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
