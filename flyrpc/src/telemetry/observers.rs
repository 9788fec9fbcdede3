//! All observers of one node.

use super::{
    caught::CaughtObserver,
    observer::{Observed, Observer},
};

/// The observers of a node. Each receives every report.
pub(crate) struct Observers(Box<[CaughtObserver]>);

impl Observers {
    /// Returns `None` if there are no observers.
    pub(crate) fn new(observers: Vec<CaughtObserver>) -> Option<Self> {
        (!observers.is_empty()).then(|| Observers(observers.into()))
    }

    /// Reports to each observer, in the order in which they were added.
    pub(crate) fn observe(&self, observed: &Observed<'_>) {
        self.0.iter().for_each(|observer| observer.observe(observed));
    }
}
