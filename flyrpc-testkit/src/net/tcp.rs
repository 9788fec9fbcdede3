//! Connections of a host for programs that are not written against [`Env`](flyrpc::Env), such as HTTP servers.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use flyrpc::{BoxStream, Env, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{boot::HostBoot, env::SimEnv, state::TaskPoll, task::Membership};

/// A connection of a simulated host, as tokio's `TcpStream` is one of a real host.
///
/// It stands still while the host is frozen, and fails after the host has crashed, whichever task uses it. It therefore also
/// works in tasks that a library spawns with `tokio::spawn`.
pub struct SimTcpStream {
    stream: BoxStream,
    member: Option<Membership>,
}

impl SimTcpStream {
    fn new(host: &HostBoot, stream: BoxStream) -> Self {
        SimTcpStream { stream, member: Membership::new(host) }
    }

    /// Returns the I/O of the stream, if the host may run.
    fn running(&mut self, task: &mut Context<'_>) -> Poll<io::Result<&mut BoxStream>> {
        let turn = self.member.as_ref().map_or(TaskPoll::Cancel, |member| member.turn(task));
        match turn {
            TaskPoll::Run => Poll::Ready(Ok(&mut self.stream)),
            TaskPoll::Park => Poll::Pending,
            TaskPoll::Cancel => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl AsyncRead for SimTcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.running(task) {
            Poll::Ready(Ok(stream)) => Pin::new(&mut stream.reader).poll_read(task, into),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for SimTcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.running(task) {
            Poll::Ready(Ok(stream)) => Pin::new(&mut stream.writer).poll_write(task, data),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.running(task) {
            Poll::Ready(Ok(stream)) => Pin::new(&mut stream.writer).poll_flush(task),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.running(task) {
            Poll::Ready(Ok(stream)) => Pin::new(&mut stream.writer).poll_shutdown(task),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
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
