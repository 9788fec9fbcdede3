//! What a call costs: flyrpc compared with raw TCP frames, tarpc, tonic and a call of the function itself.
//!
//! The program runs itself again as a server and as a client, two processes that are connected over the
//! loopback interface, and sends them commands, one a line ([`child`]). Each [workload](workloads)
//! gathers samples of its [figures]; [report] makes lines, tables and drawings of them.

mod bench;
mod child;
mod cli;
mod companion;
mod contenders;
mod figures;
mod handlers;
mod proxy;
mod report;
mod tool;
mod workloads;

use std::process::ExitCode;

/// The program. `allocations` counts those of this process so far.
pub fn main(allocations: fn() -> u64) -> ExitCode {
    match cli::run(allocations) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
