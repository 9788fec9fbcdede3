//! Blocking tasks: they complete in the order of their start, and runs with them repeat.

use std::time::Duration;

use flyrpc_testkit::real_io;
use futures_util::future::join_all;
use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::service::{JobsClient, Worker, regions};

#[flyrpc_testkit::test(seeds = 0..20, check_determinism)]
async fn blocking_tasks_complete_in_the_order_of_their_start() {
    let worker = Worker::default();
    let done = worker.0.clone();
    let cluster = regions(worker).start().await;
    let jobs: JobsClient = cluster.node("hkg-0").client();
    let start = Instant::now();
    let calls = (0..8).map(|number| jobs.on_region("iad").block(number));
    for result in join_all(calls).await {
        result.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::from_millis(200), "{}", cluster.trace());
    cluster.note(format!("{:?}", done.all()));
}

#[flyrpc_testkit::test]
async fn a_blocking_task_takes_no_virtual_time() {
    let start = Instant::now();
    let work = spawn_blocking(|| std::thread::sleep(Duration::from_millis(20)));
    tokio::select! {
        done = work => done.unwrap(),
        () = sleep(Duration::from_millis(1)) => panic!("the clock advanced during blocking work"),
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[flyrpc_testkit::test]
async fn a_blocking_task_may_start_others_and_panic() {
    let nested = spawn_blocking(|| Handle::current().spawn_blocking(|| 5)).await.unwrap();
    assert_eq!(nested.await.unwrap(), 5);
    let error = spawn_blocking(|| panic!("in a blocking task")).await.unwrap_err();
    assert!(error.is_panic());
    assert_eq!(spawn_blocking(|| 6).await.unwrap(), 6);
}

#[flyrpc_testkit::test]
async fn a_blocking_task_that_waits_for_an_asynchronous_one_ends() {
    let runtime = Handle::current();
    let waiting =
        spawn_blocking(move || runtime.block_on(async { tokio::spawn(async { 7 }).await }));
    assert_eq!(waiting.await.unwrap().unwrap(), 7);
}

#[flyrpc_testkit::test]
async fn real_io_works_beside_blocking_tasks() {
    let io = real_io(async { spawn_blocking(|| 8).await.unwrap() });
    assert_eq!(io.await, 8);
    assert_eq!(spawn_blocking(|| 9).await.unwrap(), 9);
}

#[flyrpc_testkit::test]
async fn blocking_tasks_that_wait_for_each_other_end() {
    let (send, receive) = std::sync::mpsc::channel();
    let waits = spawn_blocking(move || receive.recv().unwrap());
    let sends = spawn_blocking(move || send.send(7).unwrap());
    assert_eq!(waits.await.unwrap(), 7);
    sends.await.unwrap();
}

#[flyrpc_testkit::test]
async fn a_test_may_end_before_its_blocking_tasks() {
    let (_send, receive) = std::sync::mpsc::channel::<()>();
    spawn_blocking(move || receive.recv());
    spawn_blocking(|| panic!("never started"));
}
