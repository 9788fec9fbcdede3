//! A task of a simulated host: polled while its host runs, parked while it is frozen, dropped when it
//! crashes.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;

use crate::{
    env::SimEnv,
    net::{Core, TaskId, TaskPoll},
};

pub(crate) struct HostTask {
    env: SimEnv,
    id: TaskId,
    task: BoxFuture<'static, ()>,
}

impl HostTask {
    pub(crate) fn spawn(env: &SimEnv, task: BoxFuture<'static, ()>) {
        // A crashed host's tasks are dropped here, outside the lock.
        let Ok(id) = env.with_host(|core, host| Ok(core.tasks(host).next_id())) else { return };
        let handle = tokio::spawn(HostTask { env: env.clone(), id, task }).abort_handle();
        // Another thread may have finished it already.
        if !handle.is_finished() {
            let _ = env.with_host(|core, host| {
                core.tasks(host).insert(id, handle);
                Ok(())
            });
        }
    }

    fn with_core<R>(&self, act: impl FnOnce(&mut Core) -> R) -> R {
        act(&mut self.env.shared().lock())
    }
}

impl Future for HostTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let (host, boot) = self.env.host_and_boot();
        match self.with_core(|core| core.poll_task(host, boot, self.id, task.waker())) {
            TaskPoll::Run => self.task.as_mut().poll(task),
            TaskPoll::Park => Poll::Pending,
            TaskPoll::Cancel => Poll::Ready(()),
        }
    }
}

impl Drop for HostTask {
    fn drop(&mut self) {
        let (host, boot) = self.env.host_and_boot();
        self.with_core(|core| {
            // Task ids are unique over restarts, but a crash has removed this one already.
            if core.check_boot(host, boot).is_ok() {
                core.tasks(host).remove(self.id);
            }
        });
    }
}
