//! A task of a simulated host: polled while its host runs, kept while it is frozen, dropped when it
//! crashes.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;

use crate::{
    env::SimEnv,
    net::{Admission, Core},
};

pub(crate) struct HostTask {
    env: SimEnv,
    id: u64,
    task: BoxFuture<'static, ()>,
}

impl HostTask {
    pub(crate) fn spawn(env: &SimEnv, task: BoxFuture<'static, ()>) {
        // A crashed host's tasks are dropped here, outside the lock.
        let Ok(id) = env.act(|core, host| Ok(core.tasks(host).reserve())) else { return };
        let handle = tokio::spawn(HostTask { env: env.clone(), id, task }).abort_handle();
        // A task that another thread has finished already needs no ending.
        if !handle.is_finished() {
            let _ = env.act(|core, host| {
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
        match self.with_core(|core| core.admit(host, boot, self.id, task.waker())) {
            Admission::Run => self.task.as_mut().poll(task),
            Admission::Park => Poll::Pending,
            Admission::End => Poll::Ready(()),
        }
    }
}

impl Drop for HostTask {
    fn drop(&mut self) {
        let (host, boot) = self.env.host_and_boot();
        self.with_core(|core| {
            // Task numbers go on over restarts, but a crash has forgotten this one already.
            if core.check_boot(host, boot).is_ok() {
                core.tasks(host).remove(self.id);
            }
        });
    }
}
