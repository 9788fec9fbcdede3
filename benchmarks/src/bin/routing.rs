//! Measures how calls find a node when nodes differ, fail or are overloaded: rows R1 to R8.
//!
//! ```text
//! cargo run --release --manifest-path benchmarks/Cargo.toml --bin routing -- [--seed N] [--out DIR] [R1 …]
//! ```
//!
//! Prints `figure` lines and a table, and exits with 1 if a figure misses its bound. Builds and runs the program
//! `routing_scenarios`, which is in a separate package because it needs virtual time.

use std::{
    env,
    error::Error,
    path::Path,
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("routing: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the program succeeded.
fn run() -> Result<bool, Box<dyn Error>> {
    let program = env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or("this program is not in a target directory")?;
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--release", "--quiet", "--package", "flyrpc-benchmarks-simulated"])
        .args(["--bin", "routing_scenarios"])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .arg("--")
        .args(env::args_os().skip(1))
        .status()?;
    Ok(status.success())
}
