//! A handle to one boot of a host, for its sockets and tasks.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, MutexGuard},
};

use super::{
    shared::Shared,
    state::{Boot, Core, HostId},
};

/// A handle to one boot of a host.
#[derive(Clone)]
pub(super) struct HostBoot {
    shared: Arc<Shared>,
    host: HostId,
    boot: Boot,
}

impl HostBoot {
    pub(super) fn new(shared: &Arc<Shared>, host: HostId, boot: Boot) -> Self {
        HostBoot { shared: Arc::clone(shared), host, boot }
    }

    pub(super) fn id(&self) -> HostId {
        self.host
    }

    pub(super) fn boot(&self) -> Boot {
        self.boot
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
