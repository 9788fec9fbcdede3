//! The links of visitors, which are no members of the cluster.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::runtime::link::{Link, LinkError};

/// Upper bound on the visitors at the same time.
pub(crate) const MAX_VISITORS: usize = 16;

/// The links of visitors.
#[derive(Debug, Default)]
pub(crate) struct Visitors(Mutex<Vec<Arc<Link>>>);

impl Visitors {
    /// Whether another visitor may come.
    pub(crate) fn has_room(&self) -> bool {
        self.open().len() < MAX_VISITORS
    }

    pub(crate) fn add(&self, link: Arc<Link>) {
        self.open().push(link);
    }

    /// Ends all links, because the node ends.
    pub(crate) fn end(&self) {
        let links = std::mem::take(&mut *self.open());
        links.iter().for_each(|link| link.end(LinkError::ShutDown));
    }

    /// Returns the links that have not ended.
    fn open(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.error().is_none());
        links
    }
}
