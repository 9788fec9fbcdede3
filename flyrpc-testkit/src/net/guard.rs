//! What undoes a fault.

use std::{fmt, sync::Arc};

use super::{Core, Shared, faults::FaultId, host::HostId};

/// Undoes a fault when dropped.
///
/// If the fault is over by then, because it was healed, its host resumed, restarted, or its clock
/// set, nothing happens.
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
    /// Starts a fault, which `start` does, with the number that it is given.
    pub(super) fn start(
        shared: &Arc<Shared>,
        start: impl FnOnce(&mut Core, FaultId) -> Undo,
    ) -> Self {
        let (fault, undo) = shared.with(|core| {
            let fault = core.wire.faults.number();
            (fault, start(core, fault))
        });
        FaultGuard { shared: Arc::clone(shared), fault, undo: Some(undo) }
    }

    /// Makes the fault last, until something else ends it: of those between places
    /// [`heal`](super::SimNet::heal) and [`heal_all`](super::SimNet::heal_all).
    pub fn keep(mut self) {
        self.undo = None;
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        let Some(undo) = self.undo else { return };
        self.shared.with(|core| match undo {
            Undo::Rule => core.heal(|fault, _| fault == self.fault),
            Undo::Freeze(host) => core.thaw(host, self.fault),
            Undo::Skew(host) => core.shift_back(host, self.fault),
            Undo::Drift(host) => core.drift_less(host, self.fault),
        });
    }
}

impl fmt::Debug for FaultGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut guard = f.debug_struct("FaultGuard");
        guard.field("fault", &self.fault).field("undo", &self.undo).finish_non_exhaustive()
    }
}
