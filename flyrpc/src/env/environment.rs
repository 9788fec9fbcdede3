//! [`Env`], and the streams and sockets that it creates.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use futures_util::future::BoxFuture;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::AbortHandle,
    time::Instant,
};

/// The runtime environment of a node. [`TokioEnv`](super::TokioEnv) is the default. `flyrpc-testkit`
/// provides a simulated environment.
///
/// Timers are not part of it. Nodes use tokio's timers, and only relative ones (`sleep`, never
/// `sleep_until`) or ones on [tokio's clock](Env::timer_time), so that a skewed clock does not affect them.
pub trait Env: Send + Sync + 'static {
    /// The time on this node's monotonic clock.
    fn now(&self) -> Instant;

    /// The time on tokio's clock, which timers follow, just after this node's clock has read `now`. An
    /// environment whose clock is tokio's returns `now`. The default implementation reads tokio's clock.
    fn timer_time(&self, now: Instant) -> Instant {
        let _ = now;
        Instant::now()
    }

    /// Runs `task` to completion, unless the environment simulates a crash of the node.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Like [`spawn`](Env::spawn), for the tasks on which the whole node depends. These are the tasks
    /// that carry the bytes of links, and the task that decides which nodes are known. An environment
    /// with several threads should run them even if another task blocks the thread on which they would
    /// run next. The default implementation calls `spawn`.
    fn spawn_essential(&self, task: BoxFuture<'static, ()>) {
        self.spawn(task);
    }

    /// Runs a task that is not part of the node. A simulation runs it while the node is frozen, and after the node
    /// has crashed. The default implementation spawns a task of tokio.
    ///
    /// # Panics
    ///
    /// The default implementation panics outside a tokio runtime.
    fn spawn_outside(&self, task: BoxFuture<'static, ()>) -> AbortHandle {
        tokio::spawn(task).abort_handle()
    }

    /// Returns what controls a future that belongs to this node, but is polled by a task that this environment did
    /// not spawn. `None`, as in the default implementation, if nothing has to control it.
    fn gate(&self) -> Option<Box<dyn Gate>> {
        None
    }

    /// Whether [`poll_handler`](Env::poll_handler) has to be called. Read once, when a node starts. The default
    /// implementation returns false.
    fn observes_handlers(&self) -> bool {
        false
    }

    /// Calls `poll`, which polls a handler of this node. A simulation thereby knows whose code runs, also where a call
    /// runs in the task of its caller.
    fn poll_handler(&self, poll: &mut dyn FnMut()) {
        poll();
    }

    /// Returns a future that a handler awaits when it reaches [`barrier`](crate::barrier()) `name`. `None`, as in the
    /// default implementation, if it does not have to wait.
    fn barrier(&self, name: &'static str) -> Option<BoxFuture<'static, ()>> {
        let _ = name;
        None
    }

    /// The time on this node's wall clock, which is only reported, and never used for decisions. The default
    /// implementation reads the clock of the operating system.
    fn system_time(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Returns 64 random bits, for boot ids, picks among equal nodes, and jitter. They do not have to be
    /// unpredictable.
    fn random(&self) -> u64;

    /// Fills `bytes` with unpredictable bytes, for keys and nonces. They must never repeat, not even in another
    /// boot of the node. The default implementation takes them from the operating system.
    ///
    /// # Panics
    ///
    /// The default implementation panics if the operating system has no randomness.
    fn fill(&self, bytes: &mut [u8]) {
        let filled = SystemRandom::new().fill(bytes);
        filled.expect("the operating system provides randomness");
    }

    /// Opens a connection to `to`. Dropping the future cancels the attempt.
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>>;

    /// Listens for connections on the address `at`. Port 0 selects a free port.
    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;

    /// Opens a datagram socket on the address `at`.
    fn datagram(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Arc<dyn Datagram>>>;

    /// Resolves `name`, in the form `host:port`, to addresses.
    fn resolve(&self, name: &str) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>>;
}

/// Controls a future that belongs to a node, but is polled by a task that the node's environment did not spawn.
/// Created by [`Env::gate`].
pub trait Gate: Send + Sync {
    /// Calls `poll` once, unless the node is frozen or has crashed. While it is frozen, the task of `task` is woken
    /// once it runs again. Returns false if the node has crashed: the future must be dropped.
    fn poll(&mut self, task: &mut Context<'_>, poll: &mut dyn FnMut(&mut Context<'_>)) -> bool;
}

/// A connection, split into its two directions, so that different tasks can own them.
pub struct BoxStream {
    /// The inbound direction.
    pub reader: Box<dyn StreamReader>,
    /// The outbound direction.
    pub writer: Box<dyn StreamWriter>,
}

impl fmt::Debug for BoxStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxStream").finish_non_exhaustive()
    }
}

/// The inbound direction of a connection.
pub trait StreamReader: AsyncRead + Send + Unpin {
    /// Returns the number of bytes that have arrived and can be read without waiting (`FIONREAD`), or `None`
    /// if it is not known. The default implementation returns `None`.
    ///
    /// While bytes arrive as fast as a node reads them, the node never finds the connection empty. This tells
    /// it which of them had arrived before a moment: only these can contain the cancellation of a request
    /// that was sent before that moment.
    fn readable(&self) -> Option<usize> {
        None
    }

    /// Waits until there may be something to read, so that an idle node needs no buffer. Must also be ready at the end of
    /// the stream, after an error, and if the reader itself holds bytes that were not read. The default implementation
    /// does not wait.
    fn poll_readable(&mut self, _task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The outbound direction of a connection.
pub trait StreamWriter: AsyncWrite + Send + Unpin {
    /// Makes the following close abortive: unsent data is discarded, and the peer receives a reset
    /// (`SO_LINGER` 0).
    fn abort_on_close(&mut self);

    /// Sets the upper bound on the unsent bytes that the connection holds (`TCP_NOTSENT_LOWAT`). While
    /// it holds that many, writes are pending. Bytes that were sent but not acknowledged do not count.
    /// This is a hint: the default implementation has no effect, and the last write may exceed the
    /// bound.
    ///
    /// Bytes in the connection precede everything that a node sends next, including calls and
    /// heartbeats. Nodes set at most 128 KiB, or the amount that the connection sends in about a tenth
    /// of a second if that is less.
    fn set_low_water(&mut self, bytes: usize) {
        let _ = bytes;
    }
}

/// Accepts connections.
pub trait Listener: Send {
    /// Whether no program outside of a simulation can connect. If so, a node starts without a secret on every
    /// address. The default implementation returns false.
    fn is_simulated(&self) -> bool {
        false
    }

    /// Returns the address that it listens on.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Waits for the next connection. No connection is lost if the future is dropped.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>>;
}

/// Sends and receives datagrams.
pub trait Datagram: Send + Sync {
    /// Sends `data` to `to`, without a guarantee that it arrives.
    fn send<'a>(&'a self, data: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>>;

    /// Waits for a datagram, copies it to `into`, and returns its length and sender.
    fn receive<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>>;
}
