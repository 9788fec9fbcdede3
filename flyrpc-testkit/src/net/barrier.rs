//! Points in user code where a test stops a handler.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::state::HostId;

/// The barriers of a network, by host and name. Of several barriers with the same name, the latest one applies.
#[derive(Default)]
pub(super) struct Barriers(Mutex<BTreeMap<(HostId, String), Point>>);

/// A point in the code of one host where handlers stop.
#[derive(Clone)]
struct Point {
    /// The number of handlers that wait.
    waiting: Arc<watch::Sender<usize>>,
    is_open: Arc<watch::Sender<bool>>,
}

impl Barriers {
    pub(super) fn set(self: &Arc<Self>, host: HostId, name: &str) -> Barrier {
        let point = Point {
            waiting: Arc::new(watch::Sender::new(0)),
            is_open: Arc::new(watch::Sender::new(false)),
        };
        let key = (host, name.to_owned());
        let earlier = self.lock().insert(key.clone(), point.clone());
        if let Some(earlier) = earlier {
            earlier.open();
        }
        Barrier { barriers: Arc::clone(self), key, point }
    }

    /// Returns a future that waits at the barrier `name`, if there is one.
    pub(super) fn wait(&self, host: HostId, name: &str) -> Option<BoxFuture<'static, ()>> {
        let point = self.lock().get(&(host, name.to_owned()))?.clone();
        Some(Box::pin(async move {
            let _waiting = Waiting::new(&point.waiting);
            // An error means that the barrier no longer exists.
            let _ = point.is_open.subscribe().wait_for(|is_open| *is_open).await;
        }))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(HostId, String), Point>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Point {
    fn open(&self) {
        self.is_open.send_replace(true);
    }
}

/// Counts a handler that waits, until it is dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Stops the handlers of one node at [`flyrpc::barrier`] with one name, until it is dropped. Returned by
/// [`SimCluster::barrier`](crate::SimCluster::barrier).
#[must_use = "handlers do not stop once the barrier is dropped"]
pub struct Barrier {
    barriers: Arc<Barriers>,
    key: (HostId, String),
    point: Point,
}

impl Barrier {
    /// Waits until a handler waits at the barrier. Returns at once if one does.
    pub async fn reached(&self) {
        // The sender is part of this barrier.
        let _ = self.point.waiting.subscribe().wait_for(|waiting| *waiting > 0).await;
    }

    /// Returns the number of handlers that wait at the barrier.
    pub fn waiting(&self) -> usize {
        *self.point.waiting.borrow()
    }

    /// Lets the handlers continue, and stops no more of them. Dropping the barrier does the same.
    pub fn release(self) {}
}

impl Drop for Barrier {
    fn drop(&mut self) {
        let mut points = self.barriers.lock();
        let is_set = |point: &Point| Arc::ptr_eq(&point.is_open, &self.point.is_open);
        if points.get(&self.key).is_some_and(is_set) {
            points.remove(&self.key);
        }
        drop(points);
        self.point.open();
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("name", &self.key.1)
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
