//! Tasks that belong to a node, and tasks that do not.

use std::time::Duration;

use flyrpc_testkit::SimCluster;
use tokio::time::sleep;

use super::service::{Done, How, JobsClient, Worker, regions};

async fn started(from: &str, how: How) -> (SimCluster, Done) {
    let worker = Worker::default();
    let done = worker.0.clone();
    let cluster = regions(worker).region("fra", 1).start().await;
    let jobs: JobsClient = cluster.node(from).client();
    jobs.on_region("fra").start(how).await.unwrap();
    (cluster, done)
}

#[tokio::test(start_paused = true)]
async fn owned_and_scoped_tasks_end_with_a_crash_of_their_node() {
    // From another node, and from the node itself, where the handler runs in the task of its caller.
    for from in ["hkg-0", "fra-0"] {
        for how in [How::Owned, How::Scoped] {
            let (cluster, done) = started(from, how).await;
            cluster.crash("fra-0");
            sleep(Duration::from_secs(10)).await;
            assert_eq!(done.all(), Vec::<String>::new(), "{how:?} from {from}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn owned_and_scoped_tasks_stand_still_while_their_node_is_frozen() {
    for how in [How::Owned, How::Scoped] {
        let (cluster, done) = started("hkg-0", how).await;
        cluster.freeze("fra-0");
        sleep(Duration::from_secs(5)).await;
        assert_eq!(done.all(), Vec::<String>::new(), "{how:?}");
        cluster.resume("fra-0");
        sleep(Duration::from_millis(1)).await;
        assert_eq!(done.all(), [format!("{how:?}")]);
    }
}

#[flyrpc_testkit::test]
async fn owned_and_scoped_tasks_do_not_fail_a_run() {
    for how in [How::Owned, How::Scoped, How::BareButEnding] {
        let (cluster, done) = started("hkg-0", how).await;
        cluster.crash("fra-0");
        sleep(Duration::from_secs(10)).await;
        assert_eq!(done.all(), Vec::<String>::new(), "{how:?}");
    }
}

#[flyrpc_testkit::test]
#[should_panic(
    expected = "a task that node `fra-0` started with `tokio::spawn` still runs after the \
                           process of the node has ended; use `flyrpc::spawn`"
)]
async fn a_bare_task_that_outlives_its_node_fails_the_run() {
    let (cluster, _done) = started("hkg-0", How::Bare).await;
    cluster.crash("fra-0");
    sleep(Duration::from_secs(10)).await;
}

#[flyrpc_testkit::test]
#[should_panic(expected = "that node `fra-0` started with `tokio::spawn`")]
async fn a_bare_task_of_a_handler_in_the_task_of_its_caller_fails_the_run() {
    let (cluster, _done) = started("fra-0", How::Bare).await;
    cluster.crash("fra-0");
}

#[flyrpc_testkit::test]
#[should_panic(expected = "2 tasks that node `fra-0` started with `tokio::spawn` still run")]
async fn bare_tasks_among_other_tasks_are_counted() {
    let (cluster, _done) = started("hkg-0", How::Bare).await;
    let jobs: JobsClient = cluster.node("hkg-0").client();
    // Tasks of the test, which may outlive any node.
    let calls = (0..20).map(|number| tokio::spawn(jobs.on_region("iad").echo(number)));
    let calls: Vec<_> = calls.collect();
    let pauses: Vec<_> = (0..20).map(|_| tokio::spawn(sleep(Duration::from_secs(100)))).collect();
    jobs.on_region("fra").start(How::Owned).await.unwrap();
    jobs.on_region("fra").start(How::Bare).await.unwrap();
    jobs.on_region("iad").start(How::Bare).await.unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    cluster.crash_machine("fra-0");
    drop(pauses);
}

#[flyrpc_testkit::test]
async fn a_bare_task_that_ends_before_the_crash_does_not_fail_the_run() {
    let (cluster, done) = started("hkg-0", How::Bare).await;
    sleep(Duration::from_secs(2)).await;
    cluster.crash("fra-0");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(done.all(), ["Bare"]);
}

#[flyrpc_testkit::test]
#[should_panic(expected = "a task that node `iad-0` started with `tokio::spawn` still runs")]
async fn a_bare_task_of_the_code_that_starts_a_node_fails_the_run() {
    let cluster = SimCluster::builder().region("iad", 1).boot(|_node, builder| async move {
        tokio::spawn(sleep(Duration::from_secs(60)));
        builder.start().await
    });
    let cluster = cluster.start().await;
    cluster.crash("iad-0");
    cluster.restart("iad-0").await;
}

#[tokio::test(start_paused = true)]
async fn a_barrier_stops_a_handler_after_its_commit() {
    let worker = Worker::default();
    let done = worker.0.clone();
    let cluster = regions(worker).region("fra", 1).start().await;
    let jobs: JobsClient = cluster.node("hkg-0").client();
    let committed = cluster.barrier("fra-0", "committed");
    let call = tokio::spawn(jobs.on_region("fra").commit());
    committed.reached().await;
    assert_eq!((committed.waiting(), done.all()), (1, vec!["committed".to_owned()]));
    cluster.crash("fra-0");
    let error = call.await.unwrap().unwrap_err();
    assert!(error.may_have_executed(), "{error}");
    assert_eq!(committed.waiting(), 0);

    cluster.restart("fra-0").await;
    cluster.settled().await;
    let call = tokio::spawn(jobs.on_region("fra").commit());
    committed.reached().await;
    committed.release();
    call.await.unwrap().unwrap();
    assert_eq!(done.all(), ["committed", "committed", "continued"]);
}

#[flyrpc_testkit::test(allow_escaped_tasks)]
async fn bare_tasks_can_be_allowed() {
    let (cluster, _done) = started("hkg-0", How::Bare).await;
    cluster.crash("fra-0");
    sleep(Duration::from_secs(10)).await;
}

#[flyrpc_testkit::test]
async fn a_shutdown_ends_the_tasks_of_a_node() {
    let (cluster, done) = started("hkg-0", How::Owned).await;
    cluster.shutdown("fra-0").await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(done.all(), Vec::<String>::new());
}

#[flyrpc_testkit::test]
#[should_panic(
    expected = "a task that node `fra-0` started with `tokio::spawn` still runs after the \
                           process of the node has ended"
)]
async fn a_bare_task_that_outlives_a_shutdown_fails_the_run() {
    let (cluster, _done) = started("hkg-0", How::Bare).await;
    cluster.shutdown("fra-0").await;
}

/// Panics in its destructor, unless the test has disarmed it.
struct Bomb {
    is_armed: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.is_armed || std::thread::panicking(), "the bomb was not disarmed");
    }
}

#[flyrpc_testkit::test]
async fn a_second_run_that_stops_at_the_crash_does_not_fail_by_its_destructors() {
    let mut bomb = Bomb { is_armed: true };
    let (cluster, _done) = started("hkg-0", How::BareButEnding).await;
    cluster.crash("fra-0");
    sleep(Duration::from_secs(1)).await;
    bomb.is_armed = false;
}
