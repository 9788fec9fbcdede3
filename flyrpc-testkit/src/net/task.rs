//! A task of a simulated host. It is polled while the host runs, parked while the host is frozen, and
//! dropped when the host crashes.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;

use super::{
    boot::HostBoot,
    state::{TaskId, TaskPoll},
};

pub(super) struct HostTask {
    host: HostBoot,
    id: TaskId,
    task: BoxFuture<'static, ()>,
}

impl HostTask {
    pub(super) fn spawn(host: &HostBoot, task: BoxFuture<'static, ()>) {
        // A crashed host's tasks are dropped here, outside the lock.
        let Ok(id) = host.with_host(|core, host| Ok(core.tasks(host).next_id())) else { return };
        let handle = tokio::spawn(HostTask { host: host.clone(), id, task }).abort_handle();
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
        let (host, boot) = (self.host.id(), self.host.boot());
        let poll = self.host.lock().poll_task(host, boot, self.id, task.waker());
        match poll {
            TaskPoll::Run => self.task.as_mut().poll(task),
            TaskPoll::Park => Poll::Pending,
            TaskPoll::Cancel => Poll::Ready(()),
        }
    }
}

impl Drop for HostTask {
    fn drop(&mut self) {
        let (host, boot) = (self.host.id(), self.host.boot());
        let mut core = self.host.lock();
        // Task ids are unique across boots. If this boot has crashed, its tasks are already removed.
        if core.check_boot(host, boot).is_ok() {
            core.tasks(host).remove(self.id);
        }
    }
}
