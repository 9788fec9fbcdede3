use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
};

use super::*;

/// Longer than any operation takes if no blocked thread delays it.
const BLOCKED: Duration = Duration::from_secs(20);

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Blocks the thread until `until` is notified. Returns the elapsed time.
fn block(until: &mpsc::Receiver<()>) -> Duration {
    let start = Instant::now();
    let _ = until.recv_timeout(BLOCKED);
    start.elapsed()
}

#[test]
fn a_task_that_was_woken_by_a_task_that_then_blocks_runs_elsewhere() {
    let runtime = runtime();
    for _ in 0..20 {
        let (woken, started) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (ran, until) = mpsc::channel();
        let (wait, start) = (Arc::clone(&woken), Arc::clone(&started));
        runtime.spawn(async move {
            spawn(Box::pin(async move {
                start.notify_one();
                wait.notified().await;
                ran.send(()).unwrap();
            }));
        });
        let blocker = runtime.spawn(async move {
            started.notified().await;
            woken.notify_one();
            block(&until)
        });
        assert!(runtime.block_on(blocker).unwrap() < BLOCKED);
    }
}

#[test]
fn timers_fire_while_the_worker_that_polled_for_events_is_blocked() {
    let runtime = runtime();
    // The thread runs only if it watches a task.
    let end = Arc::new(Notify::new());
    let ended = Arc::clone(&end);
    runtime.spawn(async move { spawn(Box::pin(async move { ended.notified().await })) });
    for _ in 0..20 {
        let (fired, until) = mpsc::channel();
        runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            fired.send(()).unwrap();
        });
        let blocker = runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            block(&until)
        });
        assert!(runtime.block_on(blocker).unwrap() < BLOCKED);
    }
    end.notify_one();
}

#[test]
fn a_rescued_task_is_polled_by_one_runner_only_and_loses_no_wake_up() {
    let runtime = runtime();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let (done, result) = mpsc::channel();
    runtime.block_on(async {
        spawn(Box::pin(async move {
            let mut received = Vec::new();
            while let Some(number) = receiver.recv().await {
                received.push(number);
            }
            done.send(received).unwrap();
        }));
        for number in 0..50 {
            let sender = sender.clone();
            let sent = tokio::spawn(async move {
                sender.send(number).unwrap();
                if number % 10 == 0 {
                    thread::sleep(4 * TICK);
                }
            });
            sent.await.unwrap();
        }
        drop(sender);
    });
    assert_eq!(result.recv_timeout(BLOCKED).unwrap(), Vec::from_iter(0..50));
}

#[test]
fn while_all_workers_are_blocked_each_task_is_spawned_once_more() {
    const TASKS: usize = 10;
    let runtime = runtime();
    let wake = Arc::new(Notify::new());
    let tasks = [(); TASKS].map(|()| {
        let wake = Arc::clone(&wake);
        Task::new(Box::pin(async move { wake.notified().await }))
    });
    let runners = tasks.clone().map(|task| runtime.spawn(Runner::new(task, Start::First)));
    while tasks.iter().any(|task| task.progress.polls.load(Ordering::Relaxed) == 0) {
        thread::yield_now();
    }
    let (ends, blocked): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| {
            let (end, until) = mpsc::channel();
            let (blocks, blocked) = mpsc::channel();
            runtime.spawn(async move {
                blocks.send(()).unwrap();
                block(&until)
            });
            (end, blocked)
        })
        .unzip();
    blocked.iter().for_each(|blocked| blocked.recv_timeout(BLOCKED).unwrap());
    wake.notify_waiters();

    let watched = tasks.each_ref().map(|task| WatchedTask {
        task: Arc::downgrade(task),
        progress: Arc::clone(&task.progress),
        polls: 0,
        woken: false,
    });
    let mut watched = WatchedRuntime {
        handle: runtime.handle().clone(),
        tasks: watched.into(),
        parked: vec![0; 2],
        recorded: false,
        wake: None,
    };
    for tick in 1..100 {
        assert!(watched.look(tick));
    }
    // The tasks, the runners that may replace theirs, the two that block, and an empty one.
    assert_eq!(runtime.metrics().num_alive_tasks(), 2 * TASKS + 2 + 1);
    ends.iter().for_each(|end| end.send(()).unwrap());
    runners.into_iter().for_each(|runner| runtime.block_on(runner).unwrap());
}

#[test]
fn a_runner_that_was_replaced_is_woken_and_ends() {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let woken = [(); 2].map(|()| Arc::new(Woken(AtomicBool::new(false))));
    let [first_waker, second_waker] = woken.clone().map(Waker::from);
    let poll =
        |runner: &mut Runner, waker: &Waker| Pin::new(runner).poll(&mut Context::from_waker(waker));
    let task = Task::new(Box::pin(std::future::pending()));
    let mut first = Runner::new(Arc::clone(&task), Start::First);
    assert!(poll(&mut first, &first_waker).is_pending());
    let mut second = Runner::new(Arc::clone(&task), Start::Rescue(1));
    assert!(!woken[0].0.load(Ordering::Relaxed));

    assert!(poll(&mut second, &second_waker).is_pending());
    assert!(woken[0].0.load(Ordering::Relaxed));
    assert!(poll(&mut first, &first_waker).is_ready());
    assert!(poll(&mut second, &second_waker).is_pending());
    assert!(!woken[1].0.load(Ordering::Relaxed));
}

#[test]
fn the_end_of_a_runtime_drops_its_tasks() {
    let runtime = runtime();
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    runtime.block_on(async {
        spawn(Box::pin(async move {
            std::future::pending::<()>().await;
            drop(held);
        }));
    });
    drop(runtime);
    assert_eq!(Arc::strong_count(&alive), 1);
}
