//! The guard that ends a fault.

use std::{fmt, sync::Arc};

use super::{
    shared::Shared,
    state::{Core, FaultId, HostId},
};

/// Ends a fault when dropped.
///
/// Dropping it does nothing if the fault has already ended, because it was healed, because its host
/// was resumed or restarted, or because the host's clock was set.
#[must_use = "the fault ends when its guard is dropped; `keep` makes it last"]
pub struct FaultGuard {
    shared: Arc<Shared>,
    fault: FaultId,
    undo: Option<Undo>,
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
    pub(super) fn start(
        shared: &Arc<Shared>,
        start: impl FnOnce(&mut Core, FaultId) -> Undo,
    ) -> Self {
        let (fault, undo) = shared.with(|core| {
            let fault = core.fabric.faults.next_id();
            (fault, start(core, fault))
        });
        FaultGuard { shared: Arc::clone(shared), fault, undo: Some(undo) }
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
        self.shared.with(|core| match undo {
            Undo::Rule => core.heal(|fault, _| fault == self.fault),
            Undo::Freeze(host) => core.end_freeze(host, self.fault),
            Undo::Skew(host) => core.end_skew(host, self.fault),
            Undo::Drift(host) => core.end_drift(host, self.fault),
        });
    }
}

impl fmt::Debug for FaultGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut guard = f.debug_struct("FaultGuard");
        guard.field("fault", &self.fault).field("undo", &self.undo).finish_non_exhaustive()
    }
}
