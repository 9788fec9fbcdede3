//! An environment in which a test decides how connections and sockets are opened and how tasks run.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use flyrpc::{BoxStream, Datagram, Env, Listener};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

/// The environment `env`, except that `connect` opens the connections. It receives `env` and the address.
pub struct HookedEnv<E, F> {
    env: E,
    connect: F,
    spawn: Option<SpawnHook<E>>,
    datagram: Option<DatagramHook>,
}

type DatagramHook = Box<dyn Fn(Arc<dyn Datagram>) -> Arc<dyn Datagram> + Send + Sync>;

type SpawnHook<E> = Box<dyn Fn(&E, BoxFuture<'static, ()>) + Send + Sync>;

impl<E, F> HookedEnv<E, F>
where
    F: for<'a> Fn(&'a E, SocketAddr) -> BoxFuture<'a, io::Result<BoxStream>>,
{
    /// Creates the environment.
    pub fn new(env: E, connect: F) -> Self {
        HookedEnv { env, connect, spawn: None, datagram: None }
    }

    /// Makes `spawn` run the tasks that are not essential. It receives the inner environment and the task.
    pub fn spawn_with(
        mut self,
        spawn: impl Fn(&E, BoxFuture<'static, ()>) + Send + Sync + 'static,
    ) -> Self {
        self.spawn = Some(Box::new(spawn));
        self
    }

    /// Wraps the datagram sockets of the inner environment.
    pub fn wrap_datagrams(
        mut self,
        wrap: impl Fn(Arc<dyn Datagram>) -> Arc<dyn Datagram> + Send + Sync + 'static,
    ) -> Self {
        self.datagram = Some(Box::new(wrap));
        self
    }
}

impl<E, F> Env for HookedEnv<E, F>
where
    E: Env,
    F: for<'a> Fn(&'a E, SocketAddr) -> BoxFuture<'a, io::Result<BoxStream>>,
    F: Send + Sync + 'static,
{
    fn now(&self) -> Instant {
        self.env.now()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        match &self.spawn {
            Some(spawn) => spawn(&self.env, task),
            None => self.env.spawn(task),
        }
    }

    fn spawn_essential(&self, task: BoxFuture<'static, ()>) {
        self.env.spawn_essential(task);
    }

    fn random(&self) -> u64 {
        self.env.random()
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.env.fill(bytes);
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        (self.connect)(&self.env, to)
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        self.env.listen(at)
    }

    fn datagram(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Arc<dyn Datagram>>> {
        Box::pin(async move {
            let socket = self.env.datagram(at).await?;
            Ok(match &self.datagram {
                Some(wrap) => wrap(socket),
                None => socket,
            })
        })
    }

    fn resolve(&self, name: &str) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        self.env.resolve(name)
    }
}

impl<E: fmt::Debug, F> fmt::Debug for HookedEnv<E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HookedEnv").field(&self.env).finish()
    }
}
