//! What goes wrong with hosts: crashes, freezes, and clocks that are off.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Core, FaultGuard, SimNet,
    clock::{self, Clock},
    faults::FaultId,
    guard::Undo,
    host::{Health, HostId},
    news::FaultNews,
    wire::Wire,
};
use crate::env::SimEnv;

/// Faults of hosts.
///
/// # Panics
///
/// All of these panic if there is no host of that name; the message says which there are.
impl SimNet {
    /// Crashes a host: drops its tasks without another poll, and closes its sockets. The other ends
    /// of its streams see a reset after the delay of one way. What connects to it gets no answer.
    /// It lasts until [`restart`](SimNet::restart).
    ///
    /// The tasks' destructors run when the runtime comes to them, which is before time passes.
    pub fn crash(&self, host: impl AsRef<str>) {
        self.end_programs(host.as_ref(), |core, id, ran| {
            if ran {
                core.tell_of_host(id, FaultNews::Crash);
            }
        });
    }

    /// Kills the programs of a host, as [`crash`](Self::crash) does, but not its machine: what
    /// connects to it is refused, until programs are started with the environment that
    /// [`restart`](Self::restart) gives.
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub fn kill(&self, host: impl AsRef<str>) {
        self.end_programs(host.as_ref(), |core, id, _| {
            // A boot on which nothing runs.
            core.wire.host(id).restart();
            core.tell_of_host(id, FaultNews::Crash);
        });
    }

    /// Starts a host again, with the same address; what runs on it is to be started with the new
    /// environment that this returns, which draws other random numbers. What runs there still crashes
    /// first. Its clock goes on as it was.
    pub fn restart(&self, host: impl AsRef<str>) -> SimEnv {
        let (id, boot) = self.end_programs(host.as_ref(), |core, id, _| {
            core.wire.host(id).restart();
            core.tell_of_host(id, FaultNews::Restart);
            (id, core.wire.host(id).boot)
        });
        SimEnv::new(Arc::clone(&self.shared), id, boot)
    }

    /// Ends all that runs on a host, and then acts on it; `then` is told whether it had not crashed
    /// before.
    fn end_programs<R>(&self, host: &str, then: impl FnOnce(&mut Core, HostId, bool) -> R) -> R {
        let (tasks, result) = self.shared.with(|core| {
            let id = core.wire.named(host);
            let ran = core.wire.host(id).health != Health::Crashed;
            let tasks = core.crash(id);
            (tasks, then(core, id, ran))
        });
        for task in tasks {
            task.abort();
        }
        result
    }

    /// Freezes a host until the guard is dropped: its tasks get no polls. Its kernel goes on, so it
    /// answers connections, and buffers what arrives until the buffers are full. If it is frozen
    /// several times, the last to end resumes it. A crashed host stays crashed.
    ///
    /// Only tasks spawned through the host's environment freeze, not those that a program spawns
    /// past it, nor a test's own.
    pub fn frozen(&self, host: impl AsRef<str>) -> FaultGuard {
        FaultGuard::start(&self.shared, |core, fault| {
            let id = core.wire.named(host.as_ref());
            core.freeze(id, fault);
            Undo::Freeze(id)
        })
    }

    /// Freezes a host as [`frozen`](SimNet::frozen) does, until [`resume`](SimNet::resume).
    pub fn freeze(&self, host: impl AsRef<str>) {
        self.frozen(host).keep();
    }

    /// Resumes a frozen host, whatever froze it. Its timers that ran out meanwhile fire at once.
    pub fn resume(&self, host: impl AsRef<str>) {
        self.shared.with(|core| {
            let id = core.wire.named(host.as_ref());
            core.wire.host(id).freezes.clear();
            core.resume(id);
        });
    }

    /// Moves a host's clock ahead by `by` until the guard is dropped. Several of these, and of
    /// [`skewed_behind`](SimNet::skewed_behind), add up. Timers stay right.
    pub fn skewed_ahead(&self, host: impl AsRef<str>, by: Duration) -> FaultGuard {
        self.shift(host.as_ref(), clock::nanos(by))
    }

    /// Moves a host's clock back by `by`, compared with all others, until the guard is dropped.
    /// Several of these, and of [`skewed_ahead`](SimNet::skewed_ahead), add up. Timers stay right.
    ///
    /// As no clock of a program runs backwards, it is the others that are set ahead; and likewise
    /// when a clock that was ahead is set right.
    pub fn skewed_behind(&self, host: impl AsRef<str>, by: Duration) -> FaultGuard {
        self.shift(host.as_ref(), -clock::nanos(by))
    }

    /// Sets a host's clock ahead of the right time by `by`, instead of what skewed it before and
    /// what it has drifted. [`Duration::ZERO`] sets it right. Timers stay right.
    pub fn skew_ahead(&self, host: impl AsRef<str>, by: Duration) {
        self.set_clock(host.as_ref(), clock::nanos(by));
    }

    /// Sets a host's clock behind the right time by `by`, instead of what skewed it before and what
    /// it has drifted. Timers stay right. As no clock of a program runs backwards, it is the others
    /// that are set ahead.
    pub fn skew_behind(&self, host: impl AsRef<str>, by: Duration) {
        self.set_clock(host.as_ref(), -clock::nanos(by));
    }

    /// Lets a host's clock run that much fast, or slow if negative, until the guard is dropped: 200
    /// parts per million are 0.2 ms in each second. It goes on from where it is, and stays where it
    /// has come to when the drift ends. Several drifts add up. Timers stay right.
    ///
    /// # Panics
    ///
    /// If the clock would run backwards; at −1,000,000 it stands still.
    pub fn drifting(&self, host: impl AsRef<str>, parts_per_million: i64) -> FaultGuard {
        FaultGuard::start(&self.shared, |core, fault| {
            let id = core.wire.named(host.as_ref());
            let Wire { hosts, now, .. } = &mut core.wire;
            hosts[id.0].clock.drift_more(fault, parts_per_million, *now);
            core.tell_of_drift(id);
            Undo::Drift(id)
        })
    }

    /// Lets a host's clock run that much fast, or slow if negative, from now on, instead of any
    /// earlier drift; see [`drifting`](SimNet::drifting). 0 ends it: the clock stays where it has
    /// come to, until [`skew_ahead`](SimNet::skew_ahead) sets it.
    ///
    /// # Panics
    ///
    /// If the clock would run backwards; at −1,000,000 it stands still.
    pub fn drift(&self, host: impl AsRef<str>, parts_per_million: i64) {
        self.shared.with(|core| {
            let id = core.wire.named(host.as_ref());
            let fault = core.wire.faults.number();
            let Wire { hosts, now, .. } = &mut core.wire;
            hosts[id.0].clock.run_at(fault, parts_per_million, *now);
            core.tell_of_drift(id);
        });
    }

    fn shift(&self, host: &str, nanos: i128) -> FaultGuard {
        FaultGuard::start(&self.shared, |core, fault| {
            let id = core.wire.named(host);
            core.set_clock(id, |clock, _| clock.shift(fault, nanos));
            core.tell_of_skew(id);
            Undo::Skew(id)
        })
    }

    fn set_clock(&self, host: &str, nanos: i128) {
        self.shared.with(|core| {
            let id = core.wire.named(host);
            let fault = core.wire.faults.number();
            core.set_clock(id, |clock, now| clock.set(fault, nanos, now));
            core.tell_of_skew(id);
        });
    }
}

impl Core {
    fn freeze(&mut self, id: HostId, fault: FaultId) {
        let host = self.wire.host(id);
        if host.health == Health::Crashed {
            return;
        }
        host.freezes.insert(fault);
        if host.health == Health::Running {
            host.health = Health::Frozen;
            self.tell_of_host(id, FaultNews::Freeze);
        }
    }

    /// Ends one freeze, which may be over: a crash forgets them all.
    pub(super) fn thaw(&mut self, id: HostId, fault: FaultId) {
        let host = self.wire.host(id);
        if host.freezes.remove(&fault) && host.freezes.is_empty() {
            self.resume(id);
        }
    }

    fn resume(&mut self, id: HostId) {
        let Wire { hosts, wakes, .. } = &mut self.wire;
        let host = &mut hosts[id.0];
        if host.health == Health::Frozen {
            host.health = Health::Running;
            wakes.extend(host.tasks.unpark());
            self.tell_of_host(id, FaultNews::Resume);
        }
    }

    pub(super) fn shift_back(&mut self, id: HostId, fault: FaultId) {
        if self.set_clock(id, |clock, _| clock.shift_back(fault)) {
            self.tell_of_skew(id);
        }
    }

    /// Sets a host's clock, and no clock back: see [`clock`].
    fn set_clock<R>(&mut self, id: HostId, set: impl FnOnce(&mut Clock, Instant) -> R) -> R {
        let Wire { hosts, now, clock_base, .. } = &mut self.wire;
        let clock = &mut hosts[id.0].clock;
        let before = clock.offset(*now);
        let result = set(clock, *now);
        *clock_base += (before - clock.offset(*now)).max(0);
        result
    }

    pub(super) fn drift_less(&mut self, id: HostId, fault: FaultId) {
        let Wire { hosts, now, .. } = &mut self.wire;
        if hosts[id.0].clock.drift_less(fault, *now) {
            self.tell_of_drift(id);
        }
    }

    fn tell_of_skew(&mut self, id: HostId) {
        let ahead = self.wire.host(id).clock.skew();
        self.tell_of_host(id, |host| FaultNews::Skew(host, ahead));
    }

    fn tell_of_drift(&mut self, id: HostId) {
        let fast = self.wire.host(id).clock.drift();
        self.tell_of_host(id, |host| FaultNews::Drift(host, fast));
    }
}
