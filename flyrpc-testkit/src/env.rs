//! The environment of the programs on one host of the simulated network.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use flyrpc::{BoxStream, Datagram, Env, Listener, Region};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::{
    net::{Boot, Core, HostId, Shared, SimDatagram, SimListener, connect},
    rng::Rng,
    task::HostTask,
};

/// The runtime environment of one boot of one simulated host.
///
/// Once the host has crashed, every operation fails with [`NetworkDown`](io::ErrorKind::NetworkDown),
/// and tasks are dropped without a poll. A restart does not change that: it returns a new
/// environment.
#[derive(Clone)]
pub struct SimEnv {
    shared: Arc<Shared>,
    host: HostId,
    boot: Boot,
    /// One per boot: draws by an earlier boot must not change this one's run.
    rng: Arc<Mutex<Rng>>,
}

impl SimEnv {
    pub(crate) fn new(shared: Arc<Shared>, host: HostId, boot: Boot) -> Self {
        let rng = shared.lock().host_rng(host, boot);
        SimEnv { shared, host, boot, rng: Arc::new(Mutex::new(rng)) }
    }

    /// The host's name.
    pub fn name(&self) -> String {
        self.shared.lock().host_name(self.host)
    }

    /// The host's region.
    pub fn region(&self) -> Region {
        self.shared.lock().host_region(self.host)
    }

    /// The host's address.
    pub fn ip(&self) -> IpAddr {
        self.shared.lock().host_ip(self.host)
    }

    /// The host's address with `port`.
    pub fn addr(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(), port)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn host_and_boot(&self) -> (HostId, Boot) {
        (self.host, self.boot)
    }

    /// Calls `act` on behalf of a program on the host.
    ///
    /// # Errors
    ///
    /// Those of `act`, or that this boot has crashed.
    pub(crate) fn with_host<R>(
        &self,
        act: impl FnOnce(&mut Core, HostId) -> io::Result<R>,
    ) -> io::Result<R> {
        self.shared.with(|core| {
            core.check_boot(self.host, self.boot)?;
            act(core, self.host)
        })
    }
}

impl Env for SimEnv {
    fn now(&self) -> Instant {
        self.shared.lock().host_clock(self.host, Instant::now())
    }

    /// # Panics
    ///
    /// Outside a tokio runtime.
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        HostTask::spawn(self, task);
    }

    fn random(&self) -> u64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(connect(self, to))
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = SimListener::bind(self, at)?;
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    fn datagram(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Arc<dyn Datagram>>> {
        Box::pin(async move {
            let socket = SimDatagram::bind(self, at)?;
            Ok(Arc::new(socket) as Arc<dyn Datagram>)
        })
    }

    fn resolve(&self, name: &str) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        let addrs = self.with_host(|core, _| core.resolve(name));
        Box::pin(async move { addrs })
    }
}

impl fmt::Debug for SimEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimEnv({} in {}, boot {})", self.name(), self.region(), self.boot.0)
    }
}
