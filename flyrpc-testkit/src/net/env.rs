//! The environment of the programs on one host of the simulated network.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use flyrpc::{BoxStream, Datagram, Env, Gate, Listener, Region};
use futures_util::future::BoxFuture;
use tokio::{task::AbortHandle, time::Instant};

use super::{
    boot::HostBoot,
    datagram::SimDatagram,
    disk::SimDisk,
    stream::{SimListener, connect},
    task::{HostGate, HostTask},
};
use crate::{rng::Rng, run};

/// The runtime environment of one boot of one simulated host.
///
/// After the host has crashed, every operation fails with
/// [`NetworkDown`](io::ErrorKind::NetworkDown), and tasks are dropped without a poll. This environment
/// stays unusable after a restart, which returns a new environment.
#[derive(Clone)]
pub struct SimEnv {
    host: HostBoot,
    /// Separate for each boot: random numbers drawn by an earlier boot must not change a later boot's
    /// run.
    rng: Arc<Mutex<Rng>>,
    /// Separate from `rng`, so that a node with a secret makes the same choices as a node without one.
    entropy: Arc<Mutex<Rng>>,
}

impl SimEnv {
    pub(super) fn new(host: HostBoot) -> Self {
        let (rng, entropy) = host.lock().host_rngs(host.id(), host.boot());
        SimEnv { host, rng: Arc::new(Mutex::new(rng)), entropy: Arc::new(Mutex::new(entropy)) }
    }

    /// Calls `poll` as code that a program on this host runs.
    pub(crate) fn poll_as_program<R>(&self, poll: impl FnOnce() -> R) -> R {
        self.host.enter_span(|| run::poll_as(self.host.owner(), poll))
    }

    /// Returns the files of the host.
    pub fn disk(&self) -> SimDisk {
        SimDisk::new(&self.host)
    }

    pub(super) fn host(&self) -> &HostBoot {
        &self.host
    }

    /// Returns the host's name.
    pub fn name(&self) -> String {
        self.host.lock().host_name(self.host.id())
    }

    /// Returns the host's region.
    pub fn region(&self) -> Region {
        self.host.lock().host_region(self.host.id())
    }

    /// Returns the host's address.
    pub fn ip(&self) -> IpAddr {
        self.host.ip()
    }

    /// Returns the host's address with `port`.
    pub fn addr(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(), port)
    }
}

impl Env for SimEnv {
    fn now(&self) -> Instant {
        self.host.lock().host_clock(self.host.id(), Instant::now())
    }

    /// # Panics
    ///
    /// Outside a tokio runtime.
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        HostTask::spawn(&self.host, task);
    }

    fn spawn_outside(&self, task: BoxFuture<'static, ()>) -> AbortHandle {
        run::spawn(task)
    }

    fn gate(&self) -> Option<Box<dyn Gate>> {
        Some(Box::new(HostGate::new(&self.host)))
    }

    fn observes_handlers(&self) -> bool {
        true
    }

    fn poll_handler(&self, poll: &mut dyn FnMut()) {
        self.poll_as_program(poll);
    }

    fn barrier(&self, name: &'static str) -> Option<BoxFuture<'static, ()>> {
        self.host.barriers().wait(self.host.id(), name)
    }

    /// The time on the wall clock of the host. It is 2026-01-01 00:00:00 UTC when the network is built, and then
    /// follows the clock of the host. Unlike [`now`](Env::now), it is set back by
    /// [`skew_behind`](crate::SimNet::skew_behind).
    fn system_time(&self) -> SystemTime {
        self.host.lock().fabric.read_wall_clock(self.host.id(), Instant::now())
    }

    fn random(&self) -> u64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    /// Fills `bytes` with random bytes that depend on the seed of the network, and differ between boots. Never
    /// use a secret of production in a simulation.
    fn fill(&self, bytes: &mut [u8]) {
        let mut rng = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&rng.next().to_be_bytes()[..part.len()]);
        }
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(connect(&self.host, to))
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = SimListener::bind(&self.host, at)?;
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    fn datagram(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Arc<dyn Datagram>>> {
        Box::pin(async move {
            let socket = SimDatagram::bind(&self.host, at)?;
            Ok(Arc::new(socket) as Arc<dyn Datagram>)
        })
    }

    fn resolve(&self, name: &str) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        let addrs = self.host.with_host(|core, _| core.resolve(name));
        Box::pin(async move { addrs })
    }
}

impl fmt::Debug for SimEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimEnv({} in {}, boot {})", self.name(), self.region(), self.host.boot().0)
    }
}
