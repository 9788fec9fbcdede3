//! Keeps the tasks of a node running while other tasks block their threads.
//!
//! A task that blocks its thread stops one worker of tokio's multi-threaded runtime. Although other
//! workers are idle, it can also stop everything else until it returns:
//!
//! - The blocked worker may be the one that received the last event of a socket. The other workers sleep
//!   until they are woken, and no worker polls sockets and timers.
//! - A task that is woken by a running task goes into a slot of that task's worker, from which no other
//!   worker takes tasks. A handler that makes a call and then blocks therefore stops the writer of the
//!   call's link.
//!
//! A dedicated thread checks for this every [`TICK`]. If a worker has been running for a tick without
//! parking, it wakes another worker by spawning an empty task. For each task that was woken but has not run,
//! it spawns another task that continues it. While all workers are parked, it does nothing. This adds nothing
//! to the path of a call. The alternatives are an empty task spawned behind each handler and each
//! writer, or a thread for sockets. Both of them wake another thread for each call.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::JoinHandle,
};

/// The time between two checks. A blocked thread delays the tasks on other threads by at most two ticks.
const TICK: Duration = Duration::from_millis(10);

/// While all workers are parked, tasks that have ended are forgotten only once in this many ticks.
const FORGET_EVERY: u32 = 100;

/// The tasks that the thread watches. The thread runs while there are any.
static WATCHED: Mutex<Watched> = Mutex::new(Watched { runtimes: Vec::new(), running: false });

struct Watched {
    runtimes: Vec<WatchedRuntime>,
    /// Whether the thread runs.
    running: bool,
}

struct WatchedRuntime {
    handle: Handle,
    tasks: Vec<WatchedTask>,
    /// For each worker, how often it had parked and unparked at the last tick.
    parked: Vec<u64>,
    /// Whether the state of the tasks was recorded at the last tick.
    recorded: bool,
    /// The last empty task that was spawned to wake a worker.
    wake: Option<JoinHandle<()>>,
}

/// What the workers of a runtime did at a tick and since the tick before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Workers {
    Parked,
    /// A worker is running.
    Running,
    /// A worker has been running since the last tick, and may be blocked.
    Busy,
}

struct WatchedTask {
    task: Weak<Task>,
    progress: Arc<Progress>,
    /// The number of polls when the task was last recorded.
    polls: u64,
    /// Whether the task was woken but not polled at that time.
    woken: bool,
}

/// Spawns `future` as a task that continues on another thread if its current thread is blocked.
pub(super) fn spawn(future: BoxFuture<'static, ()>) {
    let handle = Handle::current();
    let alone = handle.runtime_flavor() != RuntimeFlavor::MultiThread
        || handle.metrics().num_workers() == 1;
    if alone {
        handle.spawn(future);
        return;
    }
    let task = Task::new(future);
    handle.spawn(Runner::new(Arc::clone(&task), Start::First));
    watch(handle, &task);
}

/// A future that several tokio tasks can run, one at a time.
struct Task {
    /// `None` once the future has completed.
    content: Mutex<Option<Content>>,
    progress: Arc<Progress>,
}

struct Content {
    future: BoxFuture<'static, ()>,
    /// Wakes the runner that polled the future last.
    runner: Option<Waker>,
}

impl Task {
    fn new(future: BoxFuture<'static, ()>) -> Arc<Self> {
        let content = Mutex::new(Some(Content { future, runner: None }));
        Arc::new(Task { content, progress: Arc::default() })
    }
}

#[derive(Default)]
struct Progress {
    /// Whether the task was woken and has not been polled since.
    woken: AtomicBool,
    polls: AtomicU64,
    /// Whether a runner that may replace another one is queued. While all workers are busy, another one at each tick
    /// would not help, and they would fill the memory.
    rescue: AtomicBool,
    /// The number of times that a runner was replaced by another. Only the latest runner continues the
    /// task. Changed only while the content is locked.
    owner: AtomicU64,
}

/// A tokio task that runs a [`Task`].
struct Runner {
    task: Arc<Task>,
    start: Start,
    owner: u64,
    /// The waker of the tokio task, and the waker derived from it.
    wakers: Option<(Waker, Waker)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    First,
    /// The runner replaces another one, unless the task has been polled more often than this.
    Rescue(u64),
    Done,
}

impl Runner {
    fn new(task: Arc<Task>, start: Start) -> Self {
        Runner { task, start, owner: 0, wakers: None }
    }

    /// Returns whether this runner continues the task. The content must be locked.
    fn is_owner(&mut self) -> bool {
        let progress = &self.task.progress;
        match std::mem::replace(&mut self.start, Start::Done) {
            Start::Rescue(polls) if progress.polls.load(Ordering::Relaxed) == polls => {
                self.owner = progress.owner.fetch_add(1, Ordering::Relaxed) + 1;
                true
            }
            // The task runs again without help.
            Start::Rescue(_) => false,
            Start::First | Start::Done => progress.owner.load(Ordering::Relaxed) == self.owner,
        }
    }

    /// Returns whether another runner has replaced this one.
    fn is_replaced(&self) -> bool {
        let owner = self.task.progress.owner.load(Ordering::Relaxed);
        !matches!(self.start, Start::Rescue(_)) && owner != self.owner
    }
}

impl Future for Runner {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if matches!(self.start, Start::Rescue(_)) {
            self.task.progress.rescue.store(false, Ordering::Relaxed);
        }
        if self.is_replaced() {
            return Poll::Ready(());
        }
        let task = Arc::clone(&self.task);
        let mut locked = match task.content.try_lock() {
            Ok(locked) => locked,
            // The task has panicked.
            Err(TryLockError::Poisoned(_)) => return Poll::Ready(()),
            // Another runner holds the lock. It either polls the task or is about to decide which of the
            // two continues.
            Err(TryLockError::WouldBlock)
                if self.start == Start::First || self.wakers.is_some() =>
            {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Err(TryLockError::WouldBlock) => return Poll::Ready(()),
        };
        if !self.is_owner() {
            return Poll::Ready(());
        }
        let Some(content) = &mut *locked else { return Poll::Ready(()) };
        if self.wakers.as_ref().is_none_or(|(waker, _)| !waker.will_wake(context.waker())) {
            let progress = Arc::clone(&task.progress);
            let tracked = Arc::new(TrackedWaker { progress, waker: context.waker().clone() });
            self.wakers = Some((context.waker().clone(), Waker::from(tracked)));
            if let Some(before) = content.runner.replace(context.waker().clone()) {
                // A replaced runner ends when it is polled. If its own wake-up came through an outdated
                // waker, nothing else wakes it.
                before.wake();
            }
        }
        let (_, waker) = self.wakers.as_ref().expect("created above");
        let progress = &task.progress;
        progress.woken.store(false, Ordering::Release);
        progress.polls.fetch_add(1, Ordering::Relaxed);
        let polled = content.future.as_mut().poll(&mut Context::from_waker(waker));
        if polled.is_ready() {
            *locked = None;
        }
        polled
    }
}

struct TrackedWaker {
    progress: Arc<Progress>,
    waker: Waker,
}

impl Wake for TrackedWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.progress.woken.store(true, Ordering::Release);
        self.waker.wake_by_ref();
    }
}

fn watch(handle: Handle, task: &Arc<Task>) {
    let progress = Arc::clone(&task.progress);
    let task = WatchedTask { task: Arc::downgrade(task), progress, polls: 0, woken: false };
    let mut watched = lock();
    match watched.runtimes.iter_mut().find(|runtime| runtime.handle.id() == handle.id()) {
        Some(runtime) => runtime.tasks.push(task),
        None => watched.runtimes.push(WatchedRuntime {
            parked: vec![0; handle.metrics().num_workers()],
            handle,
            tasks: vec![task],
            recorded: false,
            wake: None,
        }),
    }
    if !watched.running {
        // Without the thread, tasks run as they do in tokio without a watchdog.
        let thread = thread::Builder::new().name("flyrpc-watchdog".to_owned());
        watched.running = thread.spawn(run).is_ok();
    }
}

fn run() {
    let mut tick: u32 = 0;
    loop {
        thread::sleep(TICK);
        tick = tick.wrapping_add(1);
        let mut watched = lock();
        watched.runtimes.retain_mut(|runtime| runtime.look(tick));
        if watched.runtimes.is_empty() {
            watched.running = false;
            return;
        }
    }
}

impl WatchedRuntime {
    /// Helps tasks that cannot run. Returns false if no tasks are left.
    fn look(&mut self, tick: u32) -> bool {
        let workers = self.workers();
        if workers == Workers::Parked {
            self.recorded = false;
            if tick.is_multiple_of(FORGET_EVERY) {
                self.tasks.retain(|watched| watched.task.strong_count() > 0);
            }
            return !self.tasks.is_empty();
        }
        let rescue = workers == Workers::Busy && self.recorded;
        let WatchedRuntime { handle, tasks, .. } = self;
        tasks.retain_mut(|watched| {
            let woken = watched.progress.woken.load(Ordering::Acquire);
            let polls = watched.progress.polls.load(Ordering::Relaxed);
            if rescue
                && polls == watched.polls
                && woken
                && watched.woken
                && let Some(task) = watched.task.upgrade()
                && !watched.progress.rescue.swap(true, Ordering::Relaxed)
            {
                handle.spawn(Runner::new(task, Start::Rescue(polls)));
            }
            (watched.polls, watched.woken) = (polls, woken);
            watched.task.strong_count() > 0
        });
        self.recorded = true;
        if workers == Workers::Busy && self.wake.as_ref().is_none_or(JoinHandle::is_finished) {
            // Wakes a worker if all running workers are blocked. The worker then polls sockets and
            // timers.
            self.wake = Some(self.handle.spawn(async {}));
        }
        !self.tasks.is_empty()
    }

    /// Returns what the workers do, and records it for the next tick.
    #[cfg(target_has_atomic = "64")]
    fn workers(&mut self) -> Workers {
        let metrics = self.handle.metrics();
        let workers = self.parked.iter_mut().enumerate().map(|(worker, before)| {
            let count = metrics.worker_park_unpark_count(worker);
            match (count % 2, std::mem::replace(before, count) == count) {
                (1, _) => Workers::Parked,
                (_, false) => Workers::Running,
                (_, true) => Workers::Busy,
            }
        });
        workers.max().unwrap_or(Workers::Busy)
    }

    /// tokio does not count on this target, so any worker may be blocked.
    #[cfg(not(target_has_atomic = "64"))]
    fn workers(&mut self) -> Workers {
        let _ = &self.parked;
        Workers::Busy
    }
}

fn lock() -> MutexGuard<'static, Watched> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
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
        let poll = |runner: &mut Runner, waker: &Waker| {
            Pin::new(runner).poll(&mut Context::from_waker(waker))
        };
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
}
