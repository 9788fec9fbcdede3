//! Tests of runs: what fails them, what they report, and what they make repeatable.

mod blocking;
mod failures;
mod invariants;
mod places;
mod seeds;
mod service;
mod tasks;

use std::{env, process::Command};

/// Runs an ignored test of this program in a process of its own, and returns what it prints. `None` stands for a test
/// that passes.
fn failure(test: &str, vars: &[(&str, &str)]) -> Option<String> {
    let program = env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["--ignored", "--exact", "--nocapture", test]).env_remove("RUST_BACKTRACE");
    for name in ["FLYRPC_SIM_SEED", "FLYRPC_SIM_SEEDS", "FLYRPC_SIM_DETERMINISM"] {
        command.env_remove(name);
    }
    let output = command.envs(vars.iter().copied()).output().expect("this program can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(stdout.contains("running 1 test"), "there is no test `{test}`:\n{stdout}");
    (!output.status.success()).then_some(stderr)
}

/// Returns the report of a test that fails.
fn report(test: &str) -> String {
    failure(test, &[]).unwrap_or_else(|| panic!("`{test}` passes"))
}
