//! The queries of a host's environment and of its tasks.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    task::Waker,
};

use flyrpc::Region;
use tokio::time::Instant;

use super::{
    core::Core,
    host::{Boot, Health, HostId, HostTasks, TaskId},
};
use crate::rng::Rng;

/// What happens to a task that was woken.
pub(crate) enum TaskPoll {
    Run,
    /// Its host is frozen; it is woken when the host is resumed.
    Park,
    /// Its host has crashed.
    Cancel,
}

impl Core {
    pub(crate) fn host_name(&self, id: HostId) -> String {
        self.fabric.hosts[id.0].name.clone()
    }

    pub(crate) fn host_region(&self, id: HostId) -> Region {
        self.fabric.region(id).clone()
    }

    pub(crate) fn host_ip(&self, id: HostId) -> IpAddr {
        self.fabric.hosts[id.0].ip
    }

    pub(crate) fn host_clock(&self, id: HostId, now: Instant) -> Instant {
        self.fabric.hosts[id.0].clock.read(now, self.fabric.clock_base)
    }

    /// The random numbers of the programs of one boot of the host.
    pub(crate) fn host_rng(&self, id: HostId, boot: Boot) -> Rng {
        Rng::new(self.fabric.seed, &self.fabric.hosts[id.0].name, boot.0)
    }

    pub(crate) fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        self.resolver.resolve(name, &self.fabric)
    }

    /// # Errors
    ///
    /// [`NetworkDown`](io::ErrorKind::NetworkDown) if that boot of the host has crashed.
    pub(crate) fn check_boot(&self, id: HostId, boot: Boot) -> io::Result<()> {
        let host = &self.fabric.hosts[id.0];
        if host.is_running(boot) {
            return Ok(());
        }
        let message = format!("boot {} of host `{}` has crashed", boot.0, host.name);
        Err(io::Error::new(io::ErrorKind::NetworkDown, message))
    }

    pub(crate) fn tasks(&mut self, id: HostId) -> &mut HostTasks {
        &mut self.fabric.host(id).tasks
    }

    /// Decides whether a task of the host may be polled. Keeps the waker of one that may not yet.
    pub(crate) fn poll_task(
        &mut self,
        id: HostId,
        boot: Boot,
        task: TaskId,
        waker: &Waker,
    ) -> TaskPoll {
        let host = self.fabric.host(id);
        if !host.is_running(boot) {
            return TaskPoll::Cancel;
        }
        if host.health == Health::Frozen {
            host.tasks.park(task, waker.clone());
            return TaskPoll::Park;
        }
        TaskPoll::Run
    }
}
