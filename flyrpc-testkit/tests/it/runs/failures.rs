//! What fails a run, and what it reports.

use std::{fs, future::pending, time::Duration};

use flyrpc::RpcError;
use tokio::time::sleep;

use super::{
    report,
    service::{JobsClient, Worker, regions},
};

#[flyrpc_testkit::test]
#[ignore = "started by another test"]
async fn fails_by_err() -> Result<(), RpcError> {
    let cluster = regions(Worker::default()).start().await;
    let jobs: JobsClient = cluster.node("hkg-0").client();
    jobs.on_region("syd").echo(1).await?;
    Ok(())
}

#[test]
fn a_run_that_fails_by_err_leaves_its_seed_its_command_and_its_trace() {
    let report = report("runs::failures::fails_by_err");
    let first = "flyrpc-testkit: `runs::failures::fails_by_err` failed with seed 0: NoNode";
    assert!(report.contains(first), "{report}");
    assert!(report.contains("    FLYRPC_SIM_SEED=0 cargo test"), "{report}");
    assert!(report.contains("-- --exact runs::failures::fails_by_err\n"), "{report}");
    let path = report.lines().find_map(|line| line.strip_prefix("trace written to "));
    let trace = fs::read_to_string(path.expect("the report names the file")).unwrap();
    assert!(trace.contains("Jobs.echo"), "{trace}");
}

#[flyrpc_testkit::test(seeds = 5..9)]
#[ignore = "started by another test"]
async fn fails_by_panic(seed: u64) {
    let cluster = regions(Worker::default()).start().await;
    assert_eq!(cluster.seed(), seed);
    assert!(seed < 7, "seed {seed} is too large");
}

#[test]
fn a_run_that_panics_reports_the_first_seed_that_fails() {
    let report = report("runs::failures::fails_by_panic");
    assert!(report.contains("failed with seed 7: seed 7 is too large"), "{report}");
    assert!(report.contains("FLYRPC_SIM_SEED=7 cargo test"), "{report}");
    assert_eq!(report.matches("to reproduce").count(), 1, "{report}");
}

#[flyrpc_testkit::test]
#[should_panic(expected = "the message of the panic")]
async fn a_panic_keeps_its_message() {
    let _cluster = regions(Worker::default()).start().await;
    panic!("the message of the panic");
}

#[flyrpc_testkit::test]
#[should_panic(expected = "a task of node `iad-0` panicked: out of luck")]
async fn a_panic_of_a_task_of_a_node_fails_the_run() {
    let cluster = regions(Worker::default()).start().await;
    let jobs: JobsClient = cluster.node("iad-0").client();
    jobs.on_region("iad").fail_later().await.unwrap();
    sleep(Duration::from_secs(1)).await;
}

#[flyrpc_testkit::test]
#[should_panic(expected = "a task of node `hkg-0` panicked: of the node")]
async fn a_panic_of_a_task_of_the_program_fails_the_run() {
    let cluster = regions(Worker::default()).start().await;
    cluster.node("hkg-0").spawn(async { panic!("of the node") });
    pending::<()>().await;
}

#[flyrpc_testkit::test(time_limit = "1m")]
#[ignore = "started by another test"]
async fn never_ends() {
    let cluster = regions(Worker::default()).start().await;
    let jobs: JobsClient = cluster.node("hkg-0").client();
    let call = jobs.on_region("iad").timeout(Duration::from_secs(1_000));
    call.pause(Duration::from_secs(900)).await.unwrap();
}

#[test]
fn a_run_that_never_ends_stops_at_its_limit_and_lists_the_calls_in_flight() {
    let report = report("runs::failures::never_ends");
    assert!(report.contains("the test has not ended after 60s of virtual time"), "{report}");
    assert!(report.contains("calls in flight:\n    hkg-0 → iad-"), "{report}");
    assert!(report.contains("Jobs.pause #1, since "), "{report}");
}

#[flyrpc_testkit::test]
#[ignore = "started by another test"]
async fn fails_with_two_clusters() {
    let first = regions(Worker::default()).start().await;
    let second = regions(Worker::default()).start().await;
    first.note("of the first");
    second.note("of the second");
    panic!("both are needed");
}

#[test]
fn each_cluster_of_a_failed_run_leaves_its_own_trace() {
    let report = report("runs::failures::fails_with_two_clusters");
    let traces = report.lines().filter_map(|line| line.strip_prefix("trace written to "));
    let traces: Vec<String> = traces.map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_eq!(traces.len(), 2, "{report}");
    assert!(traces[0].contains("of the first") && traces[1].contains("of the second"), "{report}");
}

#[tokio::test]
#[ignore = "started by another test"]
async fn fails_in_real_time() {
    let _cluster = regions(Worker::default()).rtt("iad", "hkg", Duration::ZERO).start().await;
    panic!("its clock is not paused");
}

#[test]
fn a_cluster_whose_clock_is_not_paused_says_so() {
    let hint = "the clock is not paused, so delays take real time";
    assert!(report("runs::failures::fails_in_real_time").contains(hint));
    assert!(!report("runs::failures::fails_by_err").contains(hint));
}
