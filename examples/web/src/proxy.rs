//! Distributes requests over healthy machines, as a platform's load balancer does.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flyrpc_examples::watch::WATCH_TIMEOUT;

use crate::client::{Connection, Response};

/// Time between two health checks of a machine.
const CHECK: Duration = Duration::from_millis(50);

/// The machines of one region, and whether each is healthy.
#[derive(Clone, Default)]
pub(crate) struct Proxy {
    machines: Arc<Mutex<Vec<(SocketAddr, bool)>>>,
    turn: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts health checks of a machine, and waits until it is healthy.
    pub(crate) async fn add(&self, http: SocketAddr) -> io::Result<()> {
        self.lock().push((http, false));
        let proxy = self.clone();
        tokio::spawn(async move {
            loop {
                proxy.set(http, is_healthy(http).await);
                tokio::time::sleep(CHECK).await;
            }
        });
        self.until(http, true).await
    }

    /// Waits until the last health check of a machine succeeded, or failed if `healthy` is false.
    pub(crate) async fn until(&self, http: SocketAddr, healthy: bool) -> io::Result<()> {
        let found = async {
            while !self.lock().contains(&(http, healthy)) {
                tokio::time::sleep(CHECK).await;
            }
        };
        let state = if healthy { "healthy" } else { "unhealthy" };
        let late =
            |_| io::Error::other(format!("{http} did not become {state} within {WATCH_TIMEOUT:?}"));
        tokio::time::timeout(WATCH_TIMEOUT, found).await.map_err(late)
    }

    /// Sends a request to a healthy machine, over `kept` if that connection is still open.
    pub(crate) async fn request(
        &self,
        path: &str,
        body: Option<&str>,
        keep: bool,
        kept: Option<Connection>,
    ) -> io::Result<Response> {
        let connection = match kept.filter(Connection::is_open) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        connection.request(path, body, keep).await
    }

    /// Tries one machine after another until a connection opens. This is safe for writes, because no
    /// request is sent before.
    async fn connect(&self) -> io::Result<Connection> {
        let mut last = io::Error::other("no machine is healthy");
        let machines = self.lock().len();
        for _ in 0..machines {
            let Some(http) = self.next() else { break };
            match Connection::open(http).await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    self.set(http, false);
                    last = error;
                }
            }
        }
        Err(last)
    }

    fn next(&self) -> Option<SocketAddr> {
        let machines = self.lock();
        let healthy: Vec<_> = machines.iter().filter(|(_, healthy)| *healthy).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        healthy.get(turn % healthy.len().max(1)).map(|(http, _)| *http)
    }

    fn set(&self, http: SocketAddr, healthy: bool) {
        let mut machines = self.lock();
        machines.iter_mut().filter(|(at, _)| *at == http).for_each(|(_, is)| *is = healthy);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(SocketAddr, bool)>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn is_healthy(http: SocketAddr) -> bool {
    let Ok(connection) = Connection::open(http).await else { return false };
    let response = connection.request("/health", None, false).await;
    response.is_ok_and(|response| response.status == 200)
}
