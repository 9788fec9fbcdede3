//! [`Outcomes`]: what a link remembers about how its calls ended.

use std::sync::atomic::{AtomicBool, AtomicU64};

/// The state of a link that is needed to record how its calls end.
#[derive(Debug)]
pub(super) struct Outcomes {
    /// When the link's clock was 0, in microseconds since this node was started.
    pub(super) epoch: u64,
    /// When the latest responses arrived, in microseconds on the link's clock. The latency of a call ends at this
    /// time, so that calls need not read the clock once more.
    pub(super) responses_at: AtomicU64,
    /// Whether a loss of the link was recorded. It counts once, however many calls were in flight.
    pub(super) loss_recorded: AtomicBool,
}

impl Outcomes {
    pub(super) fn new(epoch: u64) -> Self {
        let (responses_at, loss_recorded) = (AtomicU64::new(0), AtomicBool::new(false));
        Outcomes { epoch, responses_at, loss_recorded }
    }
}
