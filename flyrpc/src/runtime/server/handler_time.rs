//! The time that the handlers of a method take in total.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{proto::wire::status::Status, runtime::link::ResponseResult};

/// The handlers of one method that have ended.
#[derive(Debug, Default)]
pub(super) struct HandlerTime {
    calls: AtomicU64,
    nanos: AtomicU64,
}

impl HandlerTime {
    /// Counts a handler that has ended with its first poll, unless it was not started.
    #[inline]
    pub(super) fn add_first(&self, result: &ResponseResult, took: Duration) {
        if !matches!(result, Err(Status::BadArguments { .. } | Status::Expired)) {
            self.add(took);
        }
    }

    /// Counts a handler that took this long.
    #[inline]
    pub(super) fn add(&self, took: Duration) {
        self.calls.fetch_add(1, Relaxed);
        self.nanos.fetch_add(took.as_nanos() as u64, Relaxed);
    }

    /// Returns the number of handlers and their time in total.
    pub(super) fn read(&self) -> (u64, Duration) {
        (self.calls.load(Relaxed), Duration::from_nanos(self.nanos.load(Relaxed)))
    }
}
