//! Everything of the outside world that a simulator must replace: tasks, time, randomness, sockets
//! and names. The node reaches each of them through [`Env`] and no other way.

mod tokio_env;

use std::{fmt, future::poll_fn, io, net::SocketAddr, sync::Arc, task::Poll};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

pub use self::tokio_env::TokioEnv;

/// The world that a node runs in. [`TokioEnv`] is the real one; `flyrpc-testkit` has a simulated one.
///
/// Timers are tokio's, and always relative (`sleep`, never `sleep_until`), so that a clock may be
/// skewed without moving them.
pub trait Env: Send + Sync + 'static {
    /// The time on this node's monotonic clock.
    fn now(&self) -> Instant;

    /// Runs `task` to its end, unless the node is crashed.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Sixty-four random bits. Boot ids, picks among equal nodes and jitter come from here; nothing
    /// that must be secret does.
    fn random(&self) -> u64;

    /// Opens a connection to `to`. Dropping the future gives the attempt up.
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>>;

    /// Listens for connections at `at`; port 0 takes a free one.
    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;

    /// Opens a datagram socket at `at`.
    fn datagram(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Arc<dyn Datagram>>>;

    /// Looks up the addresses of `name`, which is `host:port`.
    fn resolve(&self, name: &str) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>>;
}

/// A connection: its two directions, which different tasks own.
pub struct BoxStream {
    /// The direction towards this node.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// The direction away from this node.
    pub writer: Box<dyn StreamWriter>,
}

impl fmt::Debug for BoxStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxStream").finish_non_exhaustive()
    }
}

/// The sending direction of a connection.
pub trait StreamWriter: AsyncWrite + Send + Unpin {
    /// Makes the coming close an abortive one: what was written but not yet sent is discarded, and
    /// the peer sees a reset (`SO_LINGER` 0).
    fn abort_on_close(&mut self);
}

/// Takes connections.
pub trait Listener: Send {
    /// The address that was taken.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Waits for the next connection. Dropping the future loses none.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>>;
}

/// Sends and receives datagrams.
pub trait Datagram: Send + Sync {
    /// Sends `data` to `to`, or loses it, as datagrams may be.
    fn send<'a>(&'a self, data: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>>;

    /// Waits for a datagram, writes it to `into` and returns its length and sender.
    fn receive<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>>;
}

/// Lets the tasks that are ready on this thread by now have their turn. tokio's `yield_now` waits for
/// all that become ready meanwhile, too.
pub(crate) async fn yield_once() {
    let mut gave_way = false;
    poll_fn(|task| {
        if std::mem::replace(&mut gave_way, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
