//! Lets the waiting calls that nodes have refused take turns to ask again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    env::Env,
    proto::routing::{Pacer, Ticket},
    types::Target,
};

/// Identifies a queue. The calls of one method on the same targets share a queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct QueueKey {
    pub(crate) targets: Vec<Target>,
    pub(crate) service: &'static str,
    pub(crate) method: &'static str,
}

/// The queues of the calls that wait for nodes which refused them. While a queue contains calls, a task
/// gives them their turns.
pub(crate) struct Turns {
    env: Arc<dyn Env>,
    stop: CancellationToken,
    queues: Mutex<HashMap<QueueKey, Queue>>,
}

struct Queue {
    pacer: Pacer,
    /// Notifies the calls in the queue of their turns.
    waiting: BTreeMap<Ticket, oneshot::Sender<()>>,
    has_task: bool,
}

/// A call's place in a queue. Dropping this value leaves the queue.
#[must_use = "dropping it leaves the queue"]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    key: QueueKey,
    ticket: Ticket,
    /// `None` while the call asks, after its turn.
    notified: Option<oneshot::Receiver<()>>,
}

impl Turns {
    pub(super) fn new(env: Arc<dyn Env>, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Turns { env, stop, queues: Mutex::default() })
    }

    /// Adds a call that was refused.
    pub(crate) fn join(self: &Arc<Self>, key: QueueKey) -> Turn {
        let new = || Queue {
            pacer: Pacer::new(self.env.now().into_std(), self.env.random()),
            waiting: BTreeMap::new(),
            has_task: false,
        };
        let mut queues = self.lock();
        let queue = queues.entry(key.clone()).or_insert_with(new);
        let ticket = queue.pacer.join();
        let (notified, needs_task) = queue.enqueue(ticket);
        drop(queues);
        if needs_task {
            self.spawn_task(&key);
        }
        Turn { turns: Arc::clone(self), key, ticket, notified: Some(notified) }
    }

    /// Returns a call that was refused again to its place in the queue. Returns the receiver for its turn.
    fn rejoin(self: &Arc<Self>, key: &QueueKey, ticket: Ticket) -> Option<oneshot::Receiver<()>> {
        let mut queues = self.lock();
        let queue = queues.get_mut(key)?;
        // Under one lock with `enqueue`, so that a call that leaves finds the receiver of its successor.
        queue.pacer.on_refused(ticket);
        let (notified, needs_task) = queue.enqueue(ticket);
        drop(queues);
        if needs_task {
            self.spawn_task(key);
        }
        Some(notified)
    }

    /// Spawns the task that gives the calls of a queue their turns.
    fn spawn_task(self: &Arc<Self>, key: &QueueKey) {
        let (turns, key) = (Arc::clone(self), key.clone());
        self.env.spawn(Box::pin(async move { turns.run(&key).await }));
    }

    /// Gives the calls of a queue their turns until the queue is empty.
    async fn run(&self, key: &QueueKey) {
        while let Some(pause) = self.poll(key) {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Gives the calls that are due their turns, and returns the time until the next turn. Returns
    /// `None` if the queue is empty.
    fn poll(&self, key: &QueueKey) -> Option<Duration> {
        let (now, random) = (self.env.now().into_std(), self.env.random());
        let mut queues = self.lock();
        let queue = queues.get_mut(key)?;
        let turns = queue.pacer.poll(now, random);
        turns.into_iter().for_each(|ticket| queue.notify(ticket));
        let next = queue.pacer.next_turn();
        if next.is_none() {
            queue.has_task = false;
            remove_empty(&mut queues, key);
        }
        next.map(|turn| turn.saturating_duration_since(now))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueKey, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Returns the receiver for a call's turn, and whether the caller must spawn the task that gives it.
    fn enqueue(&mut self, ticket: Ticket) -> (oneshot::Receiver<()>, bool) {
        let (notify, notified) = oneshot::channel();
        self.waiting.insert(ticket, notify);
        (notified, !std::mem::replace(&mut self.has_task, true))
    }

    fn notify(&mut self, ticket: Ticket) {
        if let Some(waiting) = self.waiting.remove(&ticket) {
            // An error means that the call was dropped and is about to leave the queue.
            let _ = waiting.send(());
        }
    }
}

impl Turn {
    /// Waits for the call's turn to ask. If the call asked earlier, it was refused, and it returns to
    /// its place in the queue. Dropping the future has no effect.
    pub(crate) async fn wait(&mut self) {
        if self.notified.is_none() {
            self.notified = self.turns.rejoin(&self.key, self.ticket);
        }
        if let Some(notified) = &mut self.notified {
            // An error means that the node has ended.
            let _ = notified.await;
        }
        self.notified = None;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queues = self.turns.lock();
        let Some(queue) = queues.get_mut(&self.key) else { return };
        queue.waiting.remove(&self.ticket);
        if let Some(next) = queue.pacer.on_left(self.ticket) {
            queue.notify(next);
        }
        remove_empty(&mut queues, &self.key);
    }
}

/// Removes a queue that contains no call, unless its task is about to do so.
fn remove_empty(queues: &mut HashMap<QueueKey, Queue>, key: &QueueKey) {
    if queues.get(key).is_some_and(|queue| queue.pacer.is_empty() && !queue.has_task) {
        queues.remove(key);
    }
}
