//! The load and the ejections of one boot of a node, over all links to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::proto::routing::{Change, Ejection, Failure, NodeLoad, RegionLoad};

/// The load and the ejections of one boot of a node. It outlives the links to the node, so that a node that fails
/// does not look healthy after it was linked again.
#[derive(Debug)]
pub(crate) struct NodeHealth {
    load: Arc<NodeLoad>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ejection: Ejection,
    /// When the latest failure was recorded, in microseconds since this node was started.
    failed: u64,
    /// Whether the node serves calls of users.
    serves: bool,
    /// The number of links to the node.
    links: u32,
    /// When the last link ended, in microseconds since this node was started.
    unlinked: u64,
}

impl NodeHealth {
    pub(super) fn new(region: Arc<RegionLoad>) -> Self {
        let ejection = Ejection::default();
        let state = State { ejection, failed: 0, serves: false, links: 0, unlinked: 0 };
        NodeHealth { load: Arc::new(NodeLoad::new(region)), state: Mutex::new(state) }
    }

    #[inline(always)]
    pub(crate) fn load(&self) -> &Arc<NodeLoad> {
        &self.load
    }

    /// Adds a link to the node, which serves calls of users or does not.
    pub(super) fn on_linked(&self, serves: bool) {
        let mut state = self.state();
        state.links += 1;
        state.serves = serves;
    }

    /// Removes a link that has ended at `now`.
    pub(super) fn on_unlinked(&self, now: u64) {
        let mut state = self.state();
        state.links -= 1;
        state.unlinked = now;
    }

    /// Returns whether a link to the node exists.
    pub(super) fn is_linked(&self) -> bool {
        self.state().links > 0
    }

    /// Returns whether a link to the node exists, and the node serves calls of users.
    pub(super) fn serves(&self) -> bool {
        let state = self.state();
        state.links > 0 && state.serves
    }

    /// Returns when the last link ended. `None` if there is a link.
    pub(super) fn unlinked(&self) -> Option<u64> {
        let state = self.state();
        (state.links == 0).then_some(state.unlinked)
    }

    /// Handles a failure at `now` of a call that was sent at `sent_at`.
    pub(super) fn on_failure(&self, now: u64, sent_at: u64, failure: Failure) -> Option<Change> {
        let mut state = self.state();
        state.failed = now;
        let change = state.ejection.on_failure(now, sent_at, self.load.replies(), failure);
        // A reply in another thread may have reset this in the meantime.
        self.load.set_failing();
        if let Some(Change::Ejected { until }) = change {
            self.load.set_probe_at(Some(until));
        }
        change
    }

    /// Handles the first reply after failures or during an ejection, to a call that was sent at `sent_at`. Its latency
    /// has this `ratio` to the median of its method.
    pub(super) fn on_recovery(&self, now: u64, sent_at: u64, ratio: f32) -> Option<Change> {
        let mut state = self.state();
        let change = state.ejection.on_reply(now, sent_at);
        if change == Some(Change::Restored) {
            self.load.set_probe_at(None);
            self.load.reset(1.0, now);
        } else if !state.ejection.is_ejected() && sent_at >= state.failed {
            self.load.reset(ratio, now);
        }
        change
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
