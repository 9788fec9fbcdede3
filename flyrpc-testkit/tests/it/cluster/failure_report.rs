//! The report of a failing test. The failing tests run in a child process of this test program.

use std::{fs, process::Command};

use super::service::{builder, desk};

/// Runs the failing test `name` of this module, and returns its standard error.
fn run(name: &str, seed: Option<&str>) -> String {
    let program = std::env::current_exe().expect("the test program has a path");
    let mut command = Command::new(program);
    command.args([
        "--ignored",
        "--exact",
        "--nocapture",
        &format!("cluster::failure_report::{name}"),
    ]);
    command.env_remove("FLYRPC_SIM_SEED");
    if let Some(seed) = seed {
        command.env("FLYRPC_SIM_SEED", seed);
    }
    let output = command.output().expect("the program runs");
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(start_paused = true)]
#[ignore = "fails on purpose, run by other tests"]
async fn fails_with_a_panic() {
    let cluster = builder().start().await;
    desk(&cluster, "hkg-0").on_primary().name().await.unwrap();
    panic!("on purpose, with seed {}", cluster.seed());
}

#[tokio::test(start_paused = true)]
#[ignore = "fails on purpose, run by other tests"]
async fn fails_with_an_error() -> Result<(), flyrpc::RpcError> {
    let cluster = builder().seed(11).start().await;
    desk(&cluster, "hkg-0").on_region("nowhere").name().await.map(drop)
}

#[test]
fn a_panic_prints_the_seed_the_command_and_the_path_of_the_trace() {
    let output = run("fails_with_a_panic", Some("23"));
    assert!(output.contains("on purpose, with seed 23"), "{output}");
    let command = "FLYRPC_SIM_SEED=23 cargo test --package flyrpc-testkit \
                   -- --exact cluster::failure_report::fails_with_a_panic";
    assert!(output.contains(command), "{output}");
    let file = output.lines().find_map(|line| line.strip_prefix("trace written to "));
    let file = file.unwrap_or_else(|| panic!("no trace: {output}"));
    let trace = fs::read_to_string(file).unwrap();
    assert!(trace.contains("seed 23") && trace.contains("Desk.name"), "{trace}");
    fs::remove_file(file).unwrap();
}

#[test]
fn an_error_prints_the_seed_and_the_command() {
    let output = run("fails_with_an_error", None);
    let command = "FLYRPC_SIM_SEED=11 cargo test --package flyrpc-testkit \
                   -- --exact cluster::failure_report::fails_with_an_error";
    assert!(output.contains(command), "{output}");
}

#[test]
fn an_invalid_seed_is_rejected() {
    let output = run("fails_with_a_panic", Some("seven"));
    assert!(output.contains("FLYRPC_SIM_SEED is \"seven\""), "{output}");
}
