//! Tasks and other futures of a simulated host. They are polled while the host runs, parked while the host is frozen,
//! and dropped when the host crashes.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use flyrpc::Gate;
use futures_util::future::BoxFuture;

use super::{
    boot::HostBoot,
    state::{TaskId, TaskPoll},
};
use crate::{
    panic_text::panic_text,
    run::{self, CountedTask, Run},
};

/// A future of a host: a task that its environment has spawned, or one in a task of somebody else.
pub(super) struct Membership {
    host: HostBoot,
    id: TaskId,
}

impl Membership {
    /// Returns `None` if the host has crashed.
    pub(super) fn new(host: &HostBoot) -> Option<Self> {
        let id = host.with_host(|core, host| Ok(core.tasks(host).next_id())).ok()?;
        Some(Membership { host: host.clone(), id })
    }

    /// Returns whether a future in a task of somebody else may run. The task is woken when this changes.
    pub(super) fn turn(&self, task: &Context<'_>) -> TaskPoll {
        let (host, boot) = (self.host.id(), self.host.boot());
        let mut core = self.host.lock();
        let turn = core.poll_task(host, boot, self.id, task.waker());
        if turn != TaskPoll::Cancel {
            core.tasks(host).set_guest(self.id, task.waker().clone());
        }
        turn
    }

    /// Polls code of the host.
    fn run(&self, poll: impl FnOnce()) {
        // A panic within other code of the host, such as a handler, is the business of that code.
        let is_inside = run::is_inside_poll();
        let poll = || catch_unwind(AssertUnwindSafe(|| run::poll_as(self.host.owner(), poll)));
        if let Err(panic) = self.host.enter_span(poll) {
            if !is_inside {
                self.on_panic(&*panic);
            }
            resume_unwind(panic);
        }
    }

    fn on_panic(&self, panic: &(dyn Any + Send)) {
        if let Some(run) = Run::current() {
            let text = panic_text(panic);
            let name = self.host.lock().host_name(self.host.id());
            run.fail(|| format!("a task of node `{name}` panicked: {text}"));
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let (host, boot) = (self.host.id(), self.host.boot());
        let mut core = self.host.lock();
        // Task ids are unique across boots. If this boot has crashed, its tasks are already removed.
        if core.check_boot(host, boot).is_ok() {
            core.tasks(host).remove(self.id);
        }
    }
}

pub(super) struct HostTask {
    member: Membership,
    task: BoxFuture<'static, ()>,
}

impl HostTask {
    pub(super) fn spawn(host: &HostBoot, task: BoxFuture<'static, ()>) {
        // A crashed host's tasks are dropped here, outside the lock.
        let Some(member) = Membership::new(host) else { return };
        let id = member.id;
        let handle = run::spawn(Box::pin(HostTask { member, task }));
        // On another thread, the task may have already finished.
        if !handle.is_finished() {
            let _ = host.with_host(|core, host| {
                core.tasks(host).insert(id, handle);
                Ok(())
            });
        }
    }
}

impl Future for HostTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let HostTask { member, task: future } = &mut *self;
        let (host, boot) = (member.host.id(), member.host.boot());
        let turn = member.host.lock().poll_task(host, boot, member.id, task.waker());
        match turn {
            TaskPoll::Run => {
                let mut result = Poll::Pending;
                member.run(|| result = future.as_mut().poll(task));
                result
            }
            TaskPoll::Park => Poll::Pending,
            TaskPoll::Cancel => Poll::Ready(()),
        }
    }
}

/// Controls a future of a host that a task of somebody else polls.
pub(super) struct HostGate {
    /// `None` if the host had crashed before the future was polled.
    member: Option<Membership>,
    _counted: CountedTask,
}

impl HostGate {
    pub(super) fn new(host: &HostBoot) -> Self {
        HostGate { member: Membership::new(host), _counted: CountedTask::new() }
    }
}

impl Gate for HostGate {
    fn poll(&mut self, task: &mut Context<'_>, poll: &mut dyn FnMut(&mut Context<'_>)) -> bool {
        let Some(member) = &self.member else { return false };
        let turn = member.turn(task);
        if turn == TaskPoll::Run {
            member.run(|| poll(task));
        }
        turn != TaskPoll::Cancel
    }
}
