//! Measures how calls find a node when nodes differ, fail or are overloaded: rows R1 to R8.
//!
//! ```text
//! cargo run --release --manifest-path benchmarks/Cargo.toml --bin routing -- [--seed N] [--out DIR] [R1 … R8]
//! ```
//!
//! Prints `figure` lines and a table, and exits with 1 if a figure misses its bound. Builds and runs the program
//! `routing_scenarios`, which is in a separate package because it needs virtual time.

use std::process::ExitCode;

use anyhow::Result;

fn main() -> Result<ExitCode> {
    flyrpc_benchmarks::run_companion("flyrpc-benchmarks-simulated", "routing_scenarios")
}
