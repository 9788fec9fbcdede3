//! Connections of a host for programs that are not written against [`Env`](flyrpc::Env), such as HTTP servers.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use flyrpc::{BoxStream, Env, Listener, StreamWriter};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{boot::HostBoot, env::SimEnv, state::TaskPoll, task::Membership};

/// A connection of a simulated host, as tokio's `TcpStream` is one of a real host.
///
/// It stands still while the host is frozen, and fails after the host has crashed, whichever task uses it. It therefore also
/// works in tasks that a library spawns with `tokio::spawn`.
pub struct SimTcpStream {
    stream: BoxStream,
    // One for each direction, since different tasks may use them. `None` if the host had crashed.
    reading: Option<Membership>,
    writing: Option<Membership>,
}

impl SimTcpStream {
    fn new(host: &HostBoot, stream: BoxStream) -> Self {
        SimTcpStream { stream, reading: Membership::new(host), writing: Membership::new(host) }
    }

    /// Returns the outbound direction, if the host may run.
    fn writer(&mut self, task: &Context<'_>) -> Poll<io::Result<Pin<&mut Box<dyn StreamWriter>>>> {
        may_run(self.writing.as_ref(), task).map_ok(|()| Pin::new(&mut self.stream.writer))
    }
}

/// Returns once the host may run.
fn may_run(member: Option<&Membership>, task: &Context<'_>) -> Poll<io::Result<()>> {
    match member.map_or(TaskPoll::Cancel, |member| member.turn(task)) {
        TaskPoll::Run => Poll::Ready(Ok(())),
        TaskPoll::Park => Poll::Pending,
        TaskPoll::Cancel => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
    }
}

impl AsyncRead for SimTcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(may_run(self.reading.as_ref(), task))?;
        Pin::new(&mut self.stream.reader).poll_read(task, into)
    }
}

impl AsyncWrite for SimTcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.writer(task))?.poll_write(task, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.writer(task))?.poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.writer(task))?.poll_shutdown(task)
    }
}

impl fmt::Debug for SimTcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimTcpStream").finish_non_exhaustive()
    }
}

/// Accepts connections on a simulated host, as tokio's `TcpListener` does on a real one. With the feature `http`, it is a
/// listener for `axum::serve`.
pub struct SimTcpListener {
    host: HostBoot,
    listener: Box<dyn Listener>,
}

impl SimTcpListener {
    /// Waits for the next connection. Returns it with the address of the other end. No connection is lost if the
    /// future is dropped.
    ///
    /// # Errors
    ///
    /// Fails if the host has crashed.
    pub async fn accept(&mut self) -> io::Result<(SimTcpStream, SocketAddr)> {
        let (stream, from) = self.listener.accept().await?;
        Ok((SimTcpStream::new(&self.host, stream), from))
    }

    /// Returns the address that it listens on.
    ///
    /// # Errors
    ///
    /// Fails if the address is not known, which does not happen.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl fmt::Debug for SimTcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimTcpListener")
            .field("at", &self.local_addr().ok())
            .finish_non_exhaustive()
    }
}

impl SimEnv {
    /// Listens for connections on a port of this host. Port 0 selects a free port.
    ///
    /// # Errors
    ///
    /// Fails if the port is taken, or if this boot has crashed.
    pub async fn tcp_listener(&self, port: u16) -> io::Result<SimTcpListener> {
        let listener = self.listen(self.addr(port)).await?;
        Ok(SimTcpListener { host: self.host().clone(), listener })
    }

    /// Opens a connection from this host. `to` is in the form `host:port`, such as `iad-0:8080`. Dropping the future
    /// cancels the attempt.
    ///
    /// # Errors
    ///
    /// Fails if the name cannot be resolved, if the connection is refused, or if this boot has crashed.
    pub async fn tcp_connect(&self, to: &str) -> io::Result<SimTcpStream> {
        let addrs = self.resolve(to).await?;
        let to = addrs.first().copied().ok_or(io::ErrorKind::NotFound)?;
        let stream = self.connect(to).await?;
        Ok(SimTcpStream::new(self.host(), stream))
    }
}
