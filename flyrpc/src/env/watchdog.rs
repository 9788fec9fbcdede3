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
    /// Whether a runner that may replace another one is queued. While all workers are busy, another runner at each tick
    /// would not help, and would fill the memory.
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
mod tests;
