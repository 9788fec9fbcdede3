//! Counts the calls that a method serves, while an operator watches the node.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    error::ErrorKind,
    telemetry::{CallStatus, ServeOutcome},
    types::{CallCounts, Latencies},
};

/// Counts the calls of one method. It takes memory once it was switched on.
#[derive(Default)]
pub(super) struct Recorder {
    is_on: AtomicBool,
    /// The calls whose handlers are running, other than those that have started in their first poll just now.
    pending: AtomicU64,
    counts: OnceLock<Box<Counts>>,
}

struct Counts {
    /// By the index of the status.
    by_status: [AtomicU64; CallStatus::COUNT],
    latencies: [AtomicU64; Latencies::BUCKETS],
}

impl Recorder {
    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    pub(super) fn set_on(&self, is_on: bool) {
        self.is_on.store(is_on, Relaxed);
    }

    /// Records a handler that did not end in its first poll.
    pub(super) fn on_pending(&self) {
        self.pending.fetch_add(1, Relaxed);
    }

    /// Records that such a handler has ended.
    pub(super) fn on_pending_ended(&self) {
        self.pending.fetch_sub(1, Relaxed);
    }

    /// Records a handler that has ended.
    pub(super) fn on_ended(&self, outcome: ServeOutcome, took: Duration) {
        let counts = self.counts();
        counts.by_status[CallStatus::from(outcome).index()].fetch_add(1, Relaxed);
        counts.latencies[Latencies::bucket(took)].fetch_add(1, Relaxed);
    }

    /// Records a request that was refused.
    pub(super) fn on_refused(&self, kind: ErrorKind) {
        self.counts().by_status[CallStatus::Failed(kind).index()].fetch_add(1, Relaxed);
    }

    fn counts(&self) -> &Counts {
        self.counts.get_or_init(|| {
            Box::new(Counts {
                by_status: std::array::from_fn(|_| AtomicU64::new(0)),
                latencies: std::array::from_fn(|_| AtomicU64::new(0)),
            })
        })
    }

    /// The number of calls whose handlers are running.
    pub(super) fn in_flight(&self) -> u64 {
        self.pending.load(Relaxed)
    }

    /// Returns the calls that were recorded.
    pub(super) fn read(&self) -> CallCounts {
        let mut read = CallCounts::default();
        if let Some(counts) = self.counts.get() {
            let counted = CallStatus::all().zip(&counts.by_status);
            let counted = counted.map(|(status, count)| (status, count.load(Relaxed)));
            read.by_status = counted
                .filter(|(_, count)| *count > 0)
                .map(|(status, count)| (status.as_str().to_owned(), count))
                .collect();
            let latencies = counts.latencies.iter().map(|count| count.load(Relaxed));
            read.latencies = Latencies::from_buckets(latencies);
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_status_and_latency() {
        let recorder = Recorder::default();
        assert_eq!(recorder.read(), CallCounts::default());
        for _ in 0..3 {
            recorder.on_ended(ServeOutcome::Replied, Duration::from_millis(8));
        }
        recorder.on_ended(ServeOutcome::Failed(ErrorKind::Panicked), Duration::from_millis(80));
        recorder.on_refused(ErrorKind::Refused);
        let read = recorder.read();
        let statuses = [("OK", 3), ("PANICKED", 1), ("REFUSED", 1)];
        assert_eq!(read.by_status, statuses.map(|(name, count)| (name.to_owned(), count)).into());
        assert_eq!((read.calls(), read.errors()), (5, 2));
        assert!(read.latencies.quantile(1.0) > Some(Duration::from_millis(79)));
    }
}
