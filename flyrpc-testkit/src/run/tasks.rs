//! The tasks of a run: those of the testkit, and those that user code spawns while the testkit polls it.

use std::{
    future::{Future, pending},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tokio::task::AbortHandle;

use super::{census::End, current::Run, owner::Owner};

/// A multiple of the number of task lists of a current-thread runtime, which is 4 in tokio 1.54.
const LISTS: usize = 16;

/// Polls code of a host, and counts the tasks that it spawns.
pub(crate) fn poll_as<R>(owner: Owner, poll: impl FnOnce() -> R) -> R {
    let Some(run) = Run::current() else { return poll() };
    let census = run.census();
    if census.set_inside(true) {
        return poll();
    }
    let _leave = Leave(&run);
    let pair = census.number_pair(owner);
    let first = pair.map(|pair| Marker::spawn_in_each_list(pair, End::First));
    let (before, own_before) = (run.alive_tasks(), census.add_spawned(0));
    let result = poll();
    let all = run.alive_tasks().saturating_sub(before);
    let foreign = all.saturating_sub(census.add_spawned(0) - own_before);
    if foreign > 0 {
        census.add_foreign(owner, foreign);
        if let Some(pair) = pair {
            Marker::spawn_in_each_list(pair, End::Last);
        }
    } else {
        first.iter().flatten().for_each(AbortHandle::abort);
    }
    result
}

/// Whether code of a host is being polled.
pub(crate) fn is_inside_poll() -> bool {
    Run::current().is_some_and(|run| run.census().is_inside())
}

/// Ends a poll of a host, also if it panics.
struct Leave<'a>(&'a Rc<Run>);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.census().set_inside(false);
    }
}

/// Records that a boot of the host called `host` has crashed.
pub(crate) fn on_crash(owner: Owner, host: impl FnOnce() -> String) {
    if let Some(run) = Run::current() {
        run.census().on_crash(owner, host);
    }
}

/// Spawns a task of the testkit, which does not count as a task of a host.
pub(crate) fn spawn(task: BoxFuture<'static, ()>) -> AbortHandle {
    match Run::current() {
        None => tokio::spawn(task).abort_handle(),
        Some(run) => {
            run.census().add_spawned(1);
            tokio::spawn(OwnTask { task, _counted: CountedTask::new() }).abort_handle()
        }
    }
}

struct OwnTask {
    task: BoxFuture<'static, ()>,
    _counted: CountedTask,
}

impl Future for OwnTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        self.task.as_mut().poll(task)
    }
}

/// Held by a task that is no task of a host's code, so that the census does not count it.
pub(crate) struct CountedTask(());

impl CountedTask {
    pub(crate) fn new() -> Self {
        CountedTask(())
    }
}

impl Drop for CountedTask {
    fn drop(&mut self) {
        if let Some(run) = Run::current() {
            run.census().on_own_drop();
        }
    }
}

/// An idle task before or after the tasks that one poll has spawned.
struct Marker {
    pair: u64,
    end: End,
}

impl Marker {
    fn spawn_in_each_list(pair: u64, end: End) -> Vec<AbortHandle> {
        let mut markers = Vec::new();
        let mut covered = [false; LISTS];
        // Other threads of the process spawn tasks, too, so ids have gaps.
        while !covered.iter().all(|is_covered| *is_covered) {
            let marker = Marker::spawn(pair, end);
            let id: usize = marker.id().to_string().parse().expect("the id of a task is a number");
            covered[id % LISTS] = true;
            markers.push(marker);
        }
        markers
    }

    fn spawn(pair: u64, end: End) -> AbortHandle {
        let marker = Marker { pair, end };
        tokio::spawn(async move {
            let _marker = marker;
            pending::<()>().await;
        })
        .abort_handle()
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        if let Some(run) = Run::current() {
            run.census().on_marker_drop(self.pair, self.end, run.alive_tasks());
        }
    }
}
