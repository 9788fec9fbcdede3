//! Faults of hosts: crashes, freezes, and wrong clocks.

use std::time::Duration;

use super::{
    barrier::Barrier,
    boot::HostBoot,
    checks,
    env::SimEnv,
    guard::{FaultGuard, Undo},
    sim_net::SimNet,
    state::{Boot, Core, Fabric, FaultEvent, Health, HostId, clock},
};
use crate::run::{self, Owner};

/// Faults of hosts.
///
/// # Panics
///
/// All these methods panic if there is no host with that name. The message lists the hosts.
impl SimNet {
    /// Crashes a host: drops its tasks without another poll, and closes its sockets. The other ends
    /// of its streams see a reset after the delay of one direction. Attempts to connect to the host
    /// get no response. The host stays crashed until [`restart`](SimNet::restart).
    ///
    /// The destructors of the tasks run when the runtime next schedules the tasks, before virtual time
    /// advances.
    #[track_caller]
    pub fn crash(&self, host: impl AsRef<str>) {
        let id = self.host(host.as_ref());
        self.stop_programs(id, |core, was_up| {
            if was_up {
                core.emit_host_event(id, FaultEvent::Crashed);
            }
        });
    }

    /// Kills the programs of a host, as [`crash`](Self::crash) does, but leaves the machine up. Attempts
    /// to connect to it are refused until a program listens in the environment that
    /// [`restart`](Self::restart) returns.
    #[track_caller]
    pub fn kill(&self, host: impl AsRef<str>) {
        let id = self.host(host.as_ref());
        self.stop_programs(id, |core, _| {
            // Starts a boot without programs.
            core.fabric.host(id).restart();
            core.emit_host_event(id, FaultEvent::Crashed);
        });
    }

    /// Restarts a host at the same address, and returns the environment of the new boot, in which
    /// programs can be started. Its random numbers differ from those of the earlier boot. Programs
    /// that are still running on the host crash first. The host's clock is not reset.
    #[track_caller]
    pub fn restart(&self, host: impl AsRef<str>) -> SimEnv {
        let id = self.host(host.as_ref());
        let boot = self.stop_programs(id, |core, _| {
            core.fabric.host(id).restart();
            core.emit_host_event(id, FaultEvent::Restarted);
            core.fabric.host(id).boot
        });
        SimEnv::new(HostBoot::new(&self.shared, id, boot))
    }

    /// Stops all programs of a host, then calls `then`. Its second argument is whether the host was up
    /// before.
    /// Ends the programs of a host that has been shut down, without a fault. Its files keep what was written.
    pub(crate) fn end_programs(&self, host: &str) {
        let id = self.host(host);
        self.shared.disks.sync(id);
        self.stop_programs(id, |core, _| core.fabric.host(id).restart());
    }

    fn stop_programs<R>(&self, id: HostId, then: impl FnOnce(&mut Core, bool) -> R) -> R {
        let (tasks, result) = self.shared.with(|core| {
            let was_up = core.fabric.host(id).health != Health::Crashed;
            let Boot(boot) = core.fabric.host(id).boot;
            let owner = Owner { net: self.shared.number, host: id.0, boot };
            run::on_crash(owner, || core.host_name(id));
            let tasks = core.crash(id);
            (tasks, then(core, was_up))
        });
        self.shared.disks.on_crash(id);
        // Outside the lock: aborting can drop a task, which runs its destructors.
        for task in tasks {
            task.abort();
        }
        result
    }

    /// Freezes a host until the guard is dropped. Its tasks are not polled. Its kernel keeps running:
    /// it accepts connections, and buffers incoming data until its buffers are full. If several
    /// freezes overlap, the host resumes when the last of them ends. A crashed host stays crashed.
    ///
    /// Only tasks of the host's environment and of [`flyrpc::spawn`], and futures under `Context::scope`, freeze. Other tasks
    /// of `tokio::spawn` and the test's own tasks keep running.
    #[track_caller]
    pub fn frozen(&self, host: impl AsRef<str>) -> FaultGuard {
        let id = self.host(host.as_ref());
        FaultGuard::start(&self.shared, |core, fault| {
            core.freeze(id, fault);
            Undo::Freeze(id)
        })
    }

    /// Freezes a host as [`frozen`](SimNet::frozen) does, until [`resume`](SimNet::resume).
    #[track_caller]
    pub fn freeze(&self, host: impl AsRef<str>) {
        self.frozen(host).keep();
    }

    /// Resumes a frozen host and ends all its freezes. Timers that expired during the freeze fire immediately.
    #[track_caller]
    pub fn resume(&self, host: impl AsRef<str>) {
        let id = self.host(host.as_ref());
        self.shared.with(|core| {
            core.fabric.host(id).freezes.clear();
            core.resume(id);
        });
    }

    /// Moves a host's clock ahead by `by` until the guard is dropped. Skews add up, including those of
    /// [`skewed_behind`](SimNet::skewed_behind). Timers are not affected.
    #[track_caller]
    pub fn skewed_ahead(&self, host: impl AsRef<str>, by: Duration) -> FaultGuard {
        self.skewed(host.as_ref(), clock::nanos(by))
    }

    /// Moves a host's clock back by `by`, relative to all other clocks, until the guard is dropped.
    /// Skews add up, including those of [`skewed_ahead`](SimNet::skewed_ahead). Timers are not
    /// affected.
    ///
    /// Clocks of programs are monotonic, so all other clocks are set ahead instead. The same happens
    /// when a clock that was ahead is corrected.
    #[track_caller]
    pub fn skewed_behind(&self, host: impl AsRef<str>, by: Duration) -> FaultGuard {
        self.skewed(host.as_ref(), -clock::nanos(by))
    }

    /// Sets a host's clock to `by` ahead of the correct time, and discards earlier skews and
    /// accumulated drift. [`Duration::ZERO`] corrects the clock. Timers are not affected.
    #[track_caller]
    pub fn skew_ahead(&self, host: impl AsRef<str>, by: Duration) {
        self.set_skew(host.as_ref(), clock::nanos(by));
    }

    /// Sets a host's clock to `by` behind the correct time, and discards earlier skews and
    /// accumulated drift. Timers are not affected. Clocks of programs are monotonic, so all other
    /// clocks are set ahead instead.
    #[track_caller]
    pub fn skew_behind(&self, host: impl AsRef<str>, by: Duration) {
        self.set_skew(host.as_ref(), -clock::nanos(by));
    }

    /// Makes a host's clock run fast, or slow if negative, until the guard is dropped. A drift of 200
    /// parts per million adds 0.2 ms in each second. The clock continues from its current time, and
    /// keeps the accumulated offset when the drift ends. Several drifts add up. Timers are not affected.
    ///
    /// # Panics
    ///
    /// If the clock would run backward. A drift of −1,000,000 stops it.
    #[track_caller]
    pub fn drifting(&self, host: impl AsRef<str>, parts_per_million: i64) -> FaultGuard {
        let id = self.host(host.as_ref());
        let drift = self.shared.lock().fabric.host(id).clock.drift();
        clock::assert_forwards(drift + i128::from(parts_per_million));
        FaultGuard::start(&self.shared, |core, fault| {
            let Fabric { hosts, now, .. } = &mut core.fabric;
            hosts[id.0].clock.add_drift(fault, parts_per_million, *now);
            core.emit_drift(id);
            Undo::Drift(id)
        })
    }

    /// Makes a host's clock run fast, or slow if negative, from now on. Replaces all earlier drifts;
    /// see [`drifting`](SimNet::drifting). A drift of 0 ends drifting, and the clock keeps the
    /// accumulated offset until [`skew_ahead`](SimNet::skew_ahead) sets it.
    ///
    /// # Panics
    ///
    /// If the clock would run backward. A drift of −1,000,000 stops it.
    #[track_caller]
    pub fn drift(&self, host: impl AsRef<str>, parts_per_million: i64) {
        let id = self.host(host.as_ref());
        clock::assert_forwards(parts_per_million.into());
        self.shared.with(|core| {
            let fault = core.fabric.faults.next_id();
            let Fabric { hosts, now, .. } = &mut core.fabric;
            hosts[id.0].clock.set_drift(fault, parts_per_million, *now);
            core.emit_drift(id);
        });
    }

    /// Stops the handlers of a host at [`flyrpc::barrier`] with this name, until the returned barrier is dropped.
    /// It replaces an earlier one with the same name.
    #[track_caller]
    pub fn barrier(&self, host: impl AsRef<str>, name: &str) -> Barrier {
        let id = self.host(host.as_ref());
        self.shared.barriers.set(id, name)
    }

    #[track_caller]
    fn skewed(&self, host: &str, nanos: i128) -> FaultGuard {
        let id = self.host(host);
        FaultGuard::start(&self.shared, |core, fault| {
            core.fabric.update_clock(id, |clock, _| clock.add_skew(fault, nanos));
            core.emit_skew(id);
            Undo::Skew(id)
        })
    }

    #[track_caller]
    fn set_skew(&self, host: &str, nanos: i128) {
        let id = self.host(host);
        self.shared.with(|core| {
            let fault = core.fabric.faults.next_id();
            core.fabric.update_clock(id, |clock, now| clock.set_skew(fault, nanos, now));
            core.emit_skew(id);
        });
    }

    /// Looks up a host. Called before the fault starts, so that a panic has the location of the
    /// caller.
    #[track_caller]
    fn host(&self, name: &str) -> HostId {
        let found = checks::find_host(&self.shared.lock().fabric.topology, name);
        match found {
            Ok(id) => id,
            Err(message) => panic!("{message}"),
        }
    }
}
