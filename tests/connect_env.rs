//! An environment in which a test decides how connections are opened.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use flyrpc::{BoxStream, Datagram, Env, Listener};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

/// The environment `env`, except that `connect` opens the connections. It receives `env` and the address.
pub struct ConnectEnv<E, F> {
    env: E,
    connect: F,
}

impl<E, F> ConnectEnv<E, F>
where
    F: for<'a> Fn(&'a E, SocketAddr) -> BoxFuture<'a, io::Result<BoxStream>>,
{
    /// Creates the environment.
    pub fn new(env: E, connect: F) -> Self {
        ConnectEnv { env, connect }
    }
}

impl<E, F> Env for ConnectEnv<E, F>
where
    E: Env,
    F: for<'a> Fn(&'a E, SocketAddr) -> BoxFuture<'a, io::Result<BoxStream>>,
    F: Send + Sync + 'static,
{
    fn now(&self) -> Instant {
        self.env.now()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.env.spawn(task);
    }

    fn random(&self) -> u64 {
        self.env.random()
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        (self.connect)(&self.env, to)
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        self.env.listen(at)
    }

    fn datagram(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Arc<dyn Datagram>>> {
        self.env.datagram(at)
    }

    fn resolve(&self, name: &str) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        self.env.resolve(name)
    }
}

impl<E: fmt::Debug, F> fmt::Debug for ConnectEnv<E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectEnv").field(&self.env).finish()
    }
}
