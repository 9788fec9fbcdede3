//! A handle to one boot of a host, for its sockets and tasks.

use std::{
    io,
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, MutexGuard},
};

use tracing::Span;

use super::{
    barrier::Barriers,
    disks::Disks,
    shared::Shared,
    state::{Boot, Core, HostId},
};
use crate::run::Owner;

/// A handle to one boot of a host.
#[derive(Clone)]
pub(super) struct HostBoot {
    shared: Arc<Shared>,
    host: HostId,
    boot: Boot,
    /// The span of the log lines of this host. Its subscriber would make environments not unwind safe, although a panic
    /// leaves nothing in them half changed.
    span: Arc<AssertUnwindSafe<Span>>,
}

impl HostBoot {
    pub(super) fn new(shared: &Arc<Shared>, host: HostId, boot: Boot) -> Self {
        let name = shared.lock().host_name(host);
        // At the most severe level, so that every subscriber that receives a log line receives the span.
        let span = tracing::error_span!("sim", node = %name);
        let span = Arc::new(AssertUnwindSafe(span));
        HostBoot { shared: Arc::clone(shared), host, boot, span }
    }

    /// Calls `act` within the span of this host.
    pub(super) fn enter_span<R>(&self, act: impl FnOnce() -> R) -> R {
        self.span.in_scope(act)
    }

    pub(super) fn disks(&self) -> &Arc<Disks> {
        &self.shared.disks
    }

    /// # Errors
    ///
    /// Returns [`NetworkDown`](io::ErrorKind::NetworkDown) if this boot has crashed.
    pub(super) fn check(&self) -> io::Result<()> {
        self.lock().check_boot(self.host, self.boot)
    }

    pub(super) fn barriers(&self) -> &Barriers {
        &self.shared.barriers
    }

    pub(super) fn id(&self) -> HostId {
        self.host
    }

    pub(super) fn boot(&self) -> Boot {
        self.boot
    }

    /// Identifies this boot in the run of this thread.
    pub(super) fn owner(&self) -> Owner {
        Owner { net: self.shared.number, host: self.host.0, boot: self.boot.0 }
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.lock().host_ip(self.host)
    }

    /// Locks the state without advancing it to the current time.
    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        self.shared.lock()
    }

    /// Calls `act`, even if this boot has crashed.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Core) -> R) -> R {
        self.shared.with(act)
    }

    /// Calls `act` on behalf of a program on the host.
    ///
    /// # Errors
    ///
    /// Returns the error of `act`, or [`NetworkDown`](io::ErrorKind::NetworkDown) if this boot has
    /// crashed.
    pub(super) fn with_host<R>(
        &self,
        act: impl FnOnce(&mut Core, HostId) -> io::Result<R>,
    ) -> io::Result<R> {
        self.shared.with(|core| {
            core.check_boot(self.host, self.boot)?;
            act(core, self.host)
        })
    }
}
