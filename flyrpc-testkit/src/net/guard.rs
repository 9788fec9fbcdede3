//! The guard that ends a fault.

use std::{fmt, panic::Location, sync::Arc, thread};

use tokio::time::Instant;

use super::{
    shared::Shared,
    state::{Core, FaultId, HostId},
};

/// Ends a fault when dropped.
///
/// Dropping it does nothing if the fault has already ended, because it was healed, because its host
/// was resumed or restarted, or because the host's clock was set.
///
/// # Panics
///
/// Dropping it panics if no time has passed and no program has run since the fault of a path or the freeze started, so
/// that it had no effect. This is the case with `let _ = cluster.partition(…)`, which drops the guard at once.
#[must_use = "the fault ends when its guard is dropped; `keep` makes it last"]
pub struct FaultGuard {
    shared: Arc<Shared>,
    fault: FaultId,
    undo: Option<Undo>,
    /// When the fault started, and the steps that the network had made then.
    started_at: (Instant, u64),
    location: &'static Location<'static>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Undo {
    Rule,
    Freeze(HostId),
    Skew(HostId),
    Drift(HostId),
}

impl FaultGuard {
    /// Starts a fault. `start` receives the fault's id, and returns how to end it.
    #[track_caller]
    pub(super) fn start(
        shared: &Arc<Shared>,
        start: impl FnOnce(&mut Core, FaultId) -> Undo,
    ) -> Self {
        let location = Location::caller();
        let (fault, undo) = shared.with(|core| {
            let fault = core.fabric.faults.next_id();
            (fault, start(core, fault))
        });
        let started_at = (Instant::now(), shared.lock().steps);
        FaultGuard { shared: Arc::clone(shared), fault, undo: Some(undo), started_at, location }
    }

    /// Ends the fault, even if it had no effect.
    pub(crate) fn end(mut self) {
        self.started_at.1 = u64::MAX;
    }

    /// Makes the fault last until another call ends it. Faults between hosts and regions last until
    /// [`heal`](crate::SimNet::heal) or [`heal_all`](crate::SimNet::heal_all).
    pub fn keep(mut self) {
        self.undo = None;
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        let Some(undo) = self.undo else { return };
        let had_no_effect = match undo {
            Undo::Rule | Undo::Freeze(_) => {
                (Instant::now(), self.shared.lock().steps) == self.started_at
            }
            // Only reads of a clock could have noticed them.
            Undo::Skew(_) | Undo::Drift(_) => false,
        };
        self.shared.with(|core| match undo {
            Undo::Rule => core.heal(|fault, _| fault == self.fault),
            Undo::Freeze(host) => core.end_freeze(host, self.fault),
            Undo::Skew(host) => core.end_skew(host, self.fault),
            Undo::Drift(host) => core.end_drift(host, self.fault),
        });
        assert!(
            !had_no_effect || thread::panicking(),
            "the fault that started at {} ended at once, without an effect: `let _ =` drops its guard; use \
             `let _guard =`, or `keep()`",
            self.location
        );
    }
}

impl fmt::Debug for FaultGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut guard = f.debug_struct("FaultGuard");
        guard.field("fault", &self.fault).field("undo", &self.undo).finish_non_exhaustive()
    }
}
