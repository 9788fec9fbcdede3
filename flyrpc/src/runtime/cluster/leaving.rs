//! A node's graceful exit from the cluster.

use std::time::Duration;

use tokio::sync::oneshot;

use super::peer_table::PeerTable;

/// How long a leaving node waits for its links to close.
pub(super) struct Leaving {
    deadline: Duration,
    /// The deadline for links that still carry replies.
    delivery_deadline: Duration,
    done: oneshot::Sender<()>,
}

impl Leaving {
    pub(super) fn new(
        deadline: Duration,
        delivery_deadline: Duration,
        done: oneshot::Sender<()>,
    ) -> Self {
        Leaving { deadline, delivery_deadline, done }
    }

    /// The next time at which [`is_over`](Self::is_over) may become true.
    pub(super) fn next_due(&self, now: Duration) -> Duration {
        if self.deadline <= now { self.delivery_deadline } else { self.deadline }
    }

    /// Whether all links have closed, or the time for that has passed.
    pub(super) fn is_over(&self, now: Duration, peers: &PeerTable) -> bool {
        let delivering =
            now < self.delivery_deadline && peers.links().any(|link| link.is_delivering());
        (self.deadline <= now && !delivering) || peers.links().next().is_none()
    }

    pub(super) fn finish(self) {
        // An error means that the caller has given up.
        let _ = self.done.send(());
    }
}
