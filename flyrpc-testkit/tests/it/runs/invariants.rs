//! Invariants that hold always.

use std::{future::pending, time::Duration};

use tokio::time::sleep;

use super::service::{JobsClient, Worker, regions};

#[flyrpc_testkit::test]
#[should_panic(expected = "the invariant \"one call at a time\" does not hold: 2 calls at ")]
async fn a_violation_fails_the_run_at_once() {
    let cluster = regions(Worker::default()).start().await;
    cluster.always("one call at a time", |cluster| {
        match cluster.trace().calls().method("pause").under_way().count() {
            0 | 1 => Ok(()),
            calls => Err(format!("{calls} calls")),
        }
    });
    let jobs: JobsClient = cluster.node("hkg-0").client();
    let pause = Duration::from_secs(3);
    jobs.on_region("iad").pause(pause).await.unwrap();
    let _both = tokio::join!(jobs.on_region("iad").pause(pause), jobs.on_primary().pause(pause));
    pending::<()>().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the invariant \"nothing crashes\" does not hold: crash iad-1 at ")]
async fn a_violation_fails_a_plain_test_at_its_end() {
    let cluster = regions(Worker::default()).start().await;
    cluster.always("nothing crashes", |cluster| match cluster.trace().events().faults().next() {
        Some(fault) => Err(fault.what().to_string()),
        None => Ok(()),
    });
    cluster.crash("iad-1");
    sleep(Duration::from_secs(1)).await;
}

#[flyrpc_testkit::test]
#[should_panic(expected = "the invariant \"two\" does not hold: a panic of the check at ")]
async fn a_panic_of_a_check_is_a_violation() {
    let cluster = regions(Worker::default()).start().await;
    cluster.always("one", |_cluster| Ok::<(), String>(()));
    cluster.always("two", |cluster| {
        assert!(cluster.trace().events().notes().count() == 0, "a panic of the check");
        Ok::<(), String>(())
    });
    cluster.note("a note is an event, too");
    pending::<()>().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the invariant \"never\" does not hold: it is checked at once")]
async fn an_invariant_must_hold_when_it_is_declared() {
    let cluster = regions(Worker::default()).start().await;
    cluster.always("never", |_cluster| Err("it is checked at once"));
}

#[flyrpc_testkit::test]
#[should_panic(expected = "the invariant \"no notes\" does not hold: the last at ")]
async fn the_last_event_of_a_test_is_checked() {
    let cluster = regions(Worker::default()).start().await;
    cluster.always("no notes", |cluster| match cluster.trace().events().notes().next() {
        Some(note) => Err(note.what().to_string()),
        None => Ok(()),
    });
    cluster.note("the last");
}
