//! Tasks that run requests, each one at a time. Creating a task costs as much as running a small request,
//! so a task that has finished its request waits for the next one, unless the request was pending.

use std::{
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_util::future::BoxFuture;

use crate::env::Env;

/// Upper bound on the workers that wait for a request.
const MAX_IDLE: usize = 128;

/// The idle workers of a node.
pub(super) struct Workers<J>(Mutex<Vec<Arc<Mailbox<J>>>>);

/// What a worker runs.
pub(super) trait Job: Send + Sized + 'static {
    /// Runs the job until it is finished or pending. Returns what is left of it.
    fn run(self, task: &mut Context<'_>) -> Option<BoxFuture<'static, ()>>;

    /// The workers to which the worker returns after the job.
    fn workers(&self) -> Arc<Workers<Self>>;
}

/// Where a worker receives its jobs.
struct Mailbox<J>(Mutex<State<J>>);

enum State<J> {
    /// The worker runs a job.
    Busy,
    /// The worker waits for a job. It is among the idle workers, or is about to be.
    Idle(Waker),
    Assigned(J),
    /// The worker has ended, or must end.
    Closed,
}

impl<J> Default for Workers<J> {
    fn default() -> Self {
        Workers(Mutex::default())
    }
}

impl<J: Job> Workers<J> {
    /// Runs `job` in a task of `env`, as [`Env::spawn`] does.
    pub(super) fn run(&self, env: &dyn Env, mut job: J) {
        while let Some(mailbox) = self.pop() {
            match mailbox.assign(job) {
                Ok(()) => return,
                Err(returned) => job = returned,
            }
        }
        let mailbox = Guard(Arc::new(Mailbox(Mutex::new(State::Assigned(job)))));
        env.spawn(Box::pin(async move {
            while let Some(rest) = poll_fn(|task| mailbox.0.poll(task)).await {
                rest.await;
            }
        }));
    }

    fn pop(&self) -> Option<Arc<Mailbox<J>>> {
        lock(&self.0).pop()
    }

    /// Adds a worker that has become idle. Returns false if there are enough.
    fn add(&self, mailbox: &Arc<Mailbox<J>>) -> bool {
        let mut idle = lock(&self.0);
        let add = idle.len() < MAX_IDLE;
        if add {
            idle.push(Arc::clone(mailbox));
        }
        add
    }
}

impl<J> Workers<J> {
    /// Ends half of the idle workers, and frees their memory.
    pub(super) fn shrink(&self) {
        let mut idle = lock(&self.0);
        let count = idle.len().div_ceil(2);
        let end: Vec<_> = idle.drain(..count).collect();
        if idle.is_empty() {
            idle.shrink_to_fit();
        }
        drop(idle);
        end.iter().for_each(|mailbox| mailbox.close());
    }
}

impl<J> Drop for Workers<J> {
    fn drop(&mut self) {
        lock(&self.0).iter().for_each(|mailbox| mailbox.close());
    }
}

impl<J> Mailbox<J> {
    /// Gives a job to an idle worker. Returns the job if the worker has ended.
    fn assign(&self, job: J) -> Result<(), J> {
        let mut state = lock(&self.0);
        if !matches!(*state, State::Idle(_)) {
            return Err(job);
        }
        let before = mem::replace(&mut *state, State::Assigned(job));
        drop(state);
        if let State::Idle(waker) = before {
            waker.wake();
        }
        Ok(())
    }

    /// Ends the worker as soon as it has no job.
    fn close(&self) {
        let before = mem::replace(&mut *lock(&self.0), State::Closed);
        if let State::Idle(waker) = before {
            waker.wake();
        }
    }
}

impl<J: Job> Mailbox<J> {
    /// Waits for a job, runs it, and waits for the next one. Returns what is left of a job that is pending,
    /// or `None` if the worker must end.
    fn poll(self: &Arc<Self>, task: &mut Context<'_>) -> Poll<Option<BoxFuture<'static, ()>>> {
        let mut state = lock(&self.0);
        match mem::replace(&mut *state, State::Busy) {
            State::Assigned(job) => {
                drop(state);
                let workers = job.workers();
                if let Some(rest) = job.run(task) {
                    return Poll::Ready(Some(rest));
                }
                self.wait_for_next(&workers, task)
            }
            State::Idle(_) => {
                *state = State::Idle(task.waker().clone());
                Poll::Pending
            }
            State::Closed | State::Busy => Poll::Ready(None),
        }
    }

    /// Waits for the next job. The worker always yields before it runs another job.
    fn wait_for_next(
        self: &Arc<Self>,
        workers: &Workers<J>,
        task: &mut Context<'_>,
    ) -> Poll<Option<BoxFuture<'static, ()>>> {
        *lock(&self.0) = State::Idle(task.waker().clone());
        if workers.add(self) { Poll::Pending } else { Poll::Ready(None) }
    }
}

/// The mailbox of a worker, which is closed when the task of the worker ends or is dropped.
struct Guard<J>(Arc<Mailbox<J>>);

impl<J> Drop for Guard<J> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Locks a mutex. Nothing panics while it holds one of these locks, so poisoning is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::{runtime::Handle, sync::oneshot, task::yield_now};

    use super::*;
    use crate::env::TokioEnv;

    /// A job that waits for a message if it has a receiver.
    struct TestJob(Arc<Workers<TestJob>>, Option<oneshot::Receiver<()>>);

    impl Job for TestJob {
        fn run(self, _: &mut Context<'_>) -> Option<BoxFuture<'static, ()>> {
            let receiver = self.1?;
            Some(Box::pin(async { receiver.await.unwrap_or_default() }))
        }

        fn workers(&self) -> Arc<Workers<Self>> {
            Arc::clone(&self.0)
        }
    }

    fn tasks() -> usize {
        Handle::current().metrics().num_alive_tasks()
    }

    /// Lets all tasks run that can.
    async fn settle() {
        for _ in 0..20 {
            yield_now().await;
        }
    }

    async fn run(workers: &Arc<Workers<TestJob>>, jobs: usize) {
        let env = TokioEnv;
        (0..jobs).for_each(|_| workers.run(&env, TestJob(Arc::clone(workers), None)));
        settle().await;
    }

    #[tokio::test]
    async fn a_worker_runs_one_job_after_the_other() {
        let workers: Arc<Workers<TestJob>> = Arc::default();
        for _ in 0..3 {
            run(&workers, 1).await;
            assert_eq!(tasks(), 1);
        }
        run(&workers, 5).await;
        assert_eq!(tasks(), 5);
    }

    #[tokio::test]
    async fn idle_workers_are_bounded_and_end_when_they_are_not_used() {
        let workers: Arc<Workers<TestJob>> = Arc::default();
        run(&workers, 2 * MAX_IDLE).await;
        settle().await;
        assert_eq!(tasks(), MAX_IDLE);
        workers.shrink();
        settle().await;
        assert_eq!(tasks(), MAX_IDLE / 2);
        drop(workers);
        settle().await;
        assert_eq!(tasks(), 0);
    }

    #[tokio::test]
    async fn a_worker_whose_job_is_pending_gets_no_other_job() {
        let workers: Arc<Workers<TestJob>> = Arc::default();
        let (send, receive) = oneshot::channel();
        workers.run(&TokioEnv, TestJob(Arc::clone(&workers), Some(receive)));
        run(&workers, 1).await;
        assert_eq!(tasks(), 2);
        drop(send);
        settle().await;
        assert_eq!(tasks(), 1);
    }
}
