//! [`NotingEnv`]: tokio, with a note of whether a connection was opened.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use flyrpc::{BoxStream, Datagram, Env, Listener, TokioEnv};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

/// The environment of a visitor. If its handshake is cut off by a timeout, this knows whether something accepted the
/// connection.
#[derive(Debug, Clone, Default)]
pub(super) struct NotingEnv {
    has_connected: Arc<AtomicBool>,
}

impl NotingEnv {
    /// Whether a connection was opened.
    pub(super) fn has_connected(&self) -> bool {
        self.has_connected.load(Ordering::Relaxed)
    }
}

impl Env for NotingEnv {
    fn now(&self) -> Instant {
        TokioEnv.now()
    }

    fn timer_time(&self, now: Instant) -> Instant {
        TokioEnv.timer_time(now)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        TokioEnv.spawn(task);
    }

    fn spawn_essential(&self, task: BoxFuture<'static, ()>) {
        TokioEnv.spawn_essential(task);
    }

    fn random(&self) -> u64 {
        TokioEnv.random()
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            let stream = TokioEnv.connect(to).await?;
            self.has_connected.store(true, Ordering::Relaxed);
            Ok(stream)
        })
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        TokioEnv.listen(at)
    }

    fn datagram(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Arc<dyn Datagram>>> {
        TokioEnv.datagram(at)
    }

    fn resolve(&self, name: &str) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        TokioEnv.resolve(name)
    }
}
