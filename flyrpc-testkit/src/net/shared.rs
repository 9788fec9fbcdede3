//! The one lock around the network's state, and the task that advances it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    runtime,
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    barrier::Barriers,
    disks::Disks,
    state::{Core, Driver},
};
use crate::{run, run::Run};

pub(crate) struct Shared {
    /// The number of this network in its run.
    pub(super) number: u32,
    pub(super) barriers: Arc<Barriers>,
    pub(super) disks: Arc<Disks>,
    core: Mutex<Core>,
    /// Wakes the driver for an event that is due before the event that the driver waits for.
    driver_notify: Notify,
}

impl Shared {
    pub(super) fn new(core: Core) -> Self {
        let number = Run::current().map_or(0, |run| run.number_network());
        let (barriers, disks) = (Arc::default(), Arc::default());
        Shared { number, barriers, disks, core: Mutex::new(core), driver_notify: Notify::new() }
    }

    /// Locks the state without advancing it to the current time.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        // Only failed checks of arguments panic under the lock, and they leave the state unchanged.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `act` with the state advanced to now, and schedules the driver for the next event.
    pub(crate) fn with<R>(self: &Arc<Self>, act: impl FnOnce(&mut Core) -> R) -> R {
        let mut core = self.lock();
        core.steps += 1;
        let now = Instant::now();
        core.advance(now);
        let result = act(&mut core);
        // Process events without a delay, so that their effects are complete when this returns.
        core.advance(now);
        let wakes = std::mem::take(&mut core.fabric.pending_wakes);
        let driver = core.driver;
        let next = core.fabric.events.next_due().map(Driver::Until);
        let earlier = next.filter(|until| driver == Driver::Idle || driver > *until);
        // Outside a runtime, no program is left that could observe later events.
        let runtime = earlier.and_then(|_| runtime::Handle::try_current().ok());
        if let (Some(until), Some(_)) = (earlier, &runtime) {
            core.driver = until;
        }
        let (report_faults, report_sent) = (core.fault_events.take(), core.fabric.tap.take());
        drop(core);
        report_faults();
        report_sent();
        for waker in wakes {
            waker.wake();
        }
        match runtime {
            Some(runtime) if driver == Driver::Idle => {
                let _entered = runtime.enter();
                run::spawn(Box::pin(run_driver(Arc::clone(self))));
            }
            Some(_) => self.driver_notify.notify_one(),
            None => {}
        }
        result
    }

    /// Processes the events that are due, and returns when the next event is due.
    fn process_due(&self) -> Option<Instant> {
        let mut core = self.lock();
        core.advance(Instant::now());
        let wakes = std::mem::take(&mut core.fabric.pending_wakes);
        let next = core.fabric.events.next_due();
        core.driver = next.map_or(Driver::Idle, Driver::Until);
        drop(core);
        for waker in wakes {
            waker.wake();
        }
        next
    }
}

/// Runs until no event is left.
async fn run_driver(shared: Arc<Shared>) {
    while let Some(next) = shared.process_due() {
        // Check again, whether the wait timed out or was notified.
        let _ = timeout_at(next, shared.driver_notify.notified()).await;
    }
}
