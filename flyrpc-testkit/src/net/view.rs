//! What a host's environment and its tasks ask of the state.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    task::Waker,
};

use flyrpc::Region;
use tokio::time::Instant;

use super::{
    core::Core,
    host::{Health, HostId, Tasks},
};
use crate::rng::Rng;

/// What a task that was woken may do.
pub(crate) enum Admission {
    Run,
    Park,
    End,
}

impl Core {
    pub(crate) fn host_name(&self, id: HostId) -> String {
        self.wire.hosts[id.0].name.clone()
    }

    pub(crate) fn host_region(&self, id: HostId) -> Region {
        self.wire.region(id).clone()
    }

    pub(crate) fn host_ip(&self, id: HostId) -> IpAddr {
        self.wire.hosts[id.0].ip
    }

    pub(crate) fn clock(&self, id: HostId, now: Instant) -> Instant {
        self.wire.hosts[id.0].clock.read(now, self.wire.clock_base)
    }

    /// Where the programs of a boot of the host draw from.
    pub(crate) fn rng(&self, id: HostId, boot: u64) -> Rng {
        Rng::new(self.wire.seed, &self.wire.hosts[id.0].name, boot)
    }

    pub(crate) fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        self.names.resolve(name, &self.wire)
    }

    /// # Errors
    ///
    /// [`NetworkDown`](io::ErrorKind::NetworkDown) if that boot of the host has crashed.
    pub(crate) fn check_boot(&self, id: HostId, boot: u64) -> io::Result<()> {
        let host = &self.wire.hosts[id.0];
        if host.lives(boot) {
            return Ok(());
        }
        let message = format!("boot {boot} of host `{}` has crashed", host.name);
        Err(io::Error::new(io::ErrorKind::NetworkDown, message))
    }

    pub(crate) fn tasks(&mut self, id: HostId) -> &mut Tasks {
        &mut self.wire.host(id).tasks
    }

    /// Decides on a task of the host; one that has to wait is woken when the host is resumed.
    pub(crate) fn admit(&mut self, id: HostId, boot: u64, task: u64, waker: &Waker) -> Admission {
        let host = self.wire.host(id);
        if !host.lives(boot) {
            return Admission::End;
        }
        if host.health == Health::Frozen {
            host.tasks.park(task, waker.clone());
            return Admission::Park;
        }
        Admission::Run
    }
}
