//! Executions in traces.

use std::time::Duration;

use flyrpc::ErrorKind;
use tokio::time::advance;

use super::{busy_run, log, ms, node, recorder, run_of_real_nodes, served};
use crate::trace::execution::{ExecutionNumber, ExecutionOutcome};

#[tokio::test(start_paused = true)]
async fn filters_of_executions_combine() {
    let trace = busy_run().await;
    let executions = || trace.executions();
    assert_eq!(executions().len(), 2);
    assert_eq!(executions().on_node("hkg-0").on_region("HKG").count(), 2);
    assert_eq!(executions().by_node("iad-0").by_region("iad").attempt(2).count(), 1);
    assert_eq!(executions().service("Strings").method("upcase").remote().ok().count(), 1);
    assert_eq!(executions().local().ok().returned_err().count(), 1);
    assert_eq!(executions().failed().count() + executions().cancelled().count(), 0);
    assert_eq!(executions().since(ms(10_004)).between(..=ms(10_004)).count(), 2);

    let local = executions().local().next().expect("one call was local");
    assert_eq!((local.node(), local.boot(), local.region().as_str()), ("hkg-0", 1, "hkg"));
    assert_eq!((local.caller(), local.caller_region().as_str()), ("hkg-0", "hkg"));
    assert_eq!((local.start(), local.took()), (ms(10_004), Some(ms(0))));
    let remote = executions().remote().next_back().expect("one call was remote");
    let end = remote.end().zip(remote.outcome());
    assert_eq!(end, Some((Duration::from_micros(10_206_250), ExecutionOutcome::Replied)));
}

#[tokio::test(start_paused = true)]
async fn overlapping_executions_of_equal_calls_end_separately() {
    let log = log();
    let hkg = recorder(&log, "hkg-0", "hkg");
    let (iad_0, hkg_0) = (node("iad-0", "iad"), node("hkg-0", "hkg"));
    for number in 1..=3 {
        hkg.on_execution_start(ExecutionNumber(number), served(&iad_0, &hkg_0, 1));
    }
    advance(ms(5)).await;
    hkg.on_execution_end(ExecutionNumber(2), ExecutionOutcome::Failed(ErrorKind::Panicked));
    advance(ms(5)).await;
    hkg.on_execution_end(ExecutionNumber(1), ExecutionOutcome::Replied);
    let trace = log.snapshot();
    let ends: Vec<_> = trace.executions().map(|run| (run.outcome(), run.took())).collect();
    let panicked = ExecutionOutcome::Failed(ErrorKind::Panicked);
    let first = (Some(ExecutionOutcome::Replied), Some(ms(10)));
    assert_eq!(ends, [first, (Some(panicked), Some(ms(5))), (None, None)], "{trace}");
}

#[tokio::test(start_paused = true)]
async fn a_crash_ends_the_executions_of_the_node() {
    let log = log();
    let (first, hkg) = (recorder(&log, "iad-0", "iad"), recorder(&log, "hkg-0", "hkg"));
    let (iad_0, hkg_0) = (node("iad-0", "iad"), node("hkg-0", "hkg"));
    first.on_execution_start(ExecutionNumber(1), served(&hkg_0, &iad_0, 1));
    hkg.on_execution_start(ExecutionNumber(1), served(&iad_0, &hkg_0, 1));
    advance(ms(5)).await;
    log.crashed("iad-0");
    advance(ms(5)).await;
    first.on_execution_end(ExecutionNumber(1), ExecutionOutcome::Cancelled);
    let second = recorder(&log, "iad-0", "iad");
    second.on_execution_start(ExecutionNumber(1), served(&hkg_0, &iad_0, 1));

    let trace = log.snapshot();
    let crashed = trace.executions().crashed().next().expect("one execution crashed");
    assert_eq!((crashed.node(), crashed.boot(), crashed.end()), ("iad-0", 1, Some(ms(5))));
    let running: Vec<_> =
        trace.executions().running().map(|run| (run.node(), run.boot())).collect();
    assert_eq!(running, [("hkg-0", 1), ("iad-0", 2)]);
    let table = trace.to_string();
    assert!(table.contains("5 ms  crashed\n") && table.contains("-  running\n"), "{trace}");
}

#[tokio::test(start_paused = true)]
async fn executions_of_real_nodes_are_recorded() {
    let trace = run_of_real_nodes(1).await;
    assert_eq!(trace.executions().method("upcase").by_node("iad-0").count(), 1, "{trace}");
    let remote = trace.executions().remote().next().expect("one call arrived");
    let call = trace.calls().remote().ok().next().expect("one call succeeded");
    assert_eq!((remote.node(), remote.caller()), ("hkg-0", "iad-0"), "{trace}");
    assert_eq!((remote.start(), remote.took()), (call.start() + ms(101), Some(ms(0))), "{trace}");
    assert_eq!(remote.outcome(), Some(ExecutionOutcome::Replied), "{trace}");
    assert_eq!(trace.executions().local().on_node("hkg-0").ok().count(), 1, "{trace}");
    let diagram = trace.to_mermaid();
    assert_eq!(diagram.matches("lost").count(), 1, "{diagram}");
}
