//! Switches the recorders of a node on while an operator watches it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::registry::Registry;
use crate::types::MethodReport;

/// How long the recorders stay on after the last time that the node was asked, as in the Orleans Dashboard.
const KEEP_RECORDING: Duration = Duration::from_secs(60);

/// Whether the recorders of a node are on.
#[derive(Debug, Default)]
pub(super) struct Watch {
    is_on: AtomicBool,
    times: Mutex<Option<Times>>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    /// When the recorders were switched on.
    since: Instant,
    /// When the node was last asked.
    last: Instant,
}

/// What the recorders have counted.
pub(crate) struct Recorded {
    pub(crate) methods: Vec<MethodReport>,
    /// For how long the recorders have been on.
    pub(crate) recording: Duration,
    /// Whether they were switched on just now. Then `Server::stop_recording` must be called until it stops them.
    pub(crate) is_new: bool,
}

impl Watch {
    /// Whether the recorders are on.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Returns what the recorders have counted, and keeps them on for another minute.
    pub(super) fn recorded(&self, registry: &Registry, now: Instant) -> Recorded {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = times.is_none();
        let since = times.map_or(now, |times| times.since);
        *times = Some(Times { since, last: now });
        if is_new {
            self.set_recording(registry, true);
        }
        let methods = registry.user_methods().map(|method| method.reporter.recorded());
        let recording = now.saturating_duration_since(since);
        Recorded { methods: methods.collect(), recording, is_new }
    }

    /// Switches the recorders off if the node was not asked for a minute. Otherwise, returns after what time to call this
    /// again.
    pub(super) fn stop(&self, registry: &Registry, now: Instant) -> Option<Duration> {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let end = times.as_ref()?.last + KEEP_RECORDING;
        if now < end {
            return Some(end.saturating_duration_since(now));
        }
        *times = None;
        self.set_recording(registry, false);
        None
    }

    fn set_recording(&self, registry: &Registry, is_on: bool) {
        self.is_on.store(is_on, Relaxed);
        registry.user_methods().for_each(|method| method.reporter.record(is_on));
    }
}
