//! Handles of programs to connections: connect futures, listeners, and the halves of a stream.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use flyrpc::{BoxStream, Listener, StreamReader, StreamWriter};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    boot::HostBoot,
    state::{Backlog, ConnId, Connection, Fabric, Side},
};

/// A handle to one endpoint of a connection.
#[derive(Clone)]
struct ConnHandle {
    host: HostBoot,
    conn: ConnId,
    side: Side,
}

impl ConnHandle {
    /// Returns `None` if the connection has finished because the host crashed.
    fn with_conn<R>(&self, act: impl FnOnce(&mut Connection, &mut Fabric) -> R) -> Option<R> {
        self.host.with(|core| core.with_conn(self.conn, act))
    }

    fn into_stream(self) -> BoxStream {
        let reader = Reader(self.clone());
        BoxStream { reader: Box::new(reader), writer: Box::new(Writer(self)) }
    }
}

pub(super) async fn connect(host: &HostBoot, to: SocketAddr) -> io::Result<BoxStream> {
    let conn = host.with_host(|core, id| {
        let Some(to_host) = core.fabric.topology.locate(id, to.ip()) else {
            let message = format!("no simulated host has the address {}", to.ip());
            return Err(io::Error::new(io::ErrorKind::HostUnreachable, message));
        };
        let host = core.fabric.host(id);
        let port = host.ephemeral_port(|host, port| host.listeners.contains_key(&port))?;
        let from = core.fabric.topology.source(id, to.ip(), port);
        Ok(core.connect((id, from), (to_host, to)))
    })?;
    let connecting =
        Connecting(Some(ConnHandle { host: host.clone(), conn, side: Side::Initiator }));
    poll_fn(|task| connecting.poll(task)).await?;
    Ok(connecting.into_stream())
}

/// A connection that is being opened. Dropping it abandons the connection.
struct Connecting(Option<ConnHandle>);

impl Connecting {
    fn poll(&self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let handle = self.0.as_ref().expect("not yet converted into a stream");
        handle
            .with_conn(|conn, _| conn.poll_connected(task))
            .unwrap_or_else(|| Poll::Ready(Err(host_crashed())))
    }

    fn into_stream(mut self) -> BoxStream {
        self.0.take().expect("converted into a stream once").into_stream()
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.with_conn(|conn, fabric| conn.abandon(handle.side, fabric));
        }
    }
}

pub(super) struct SimListener {
    host: HostBoot,
    at: SocketAddr,
}

impl SimListener {
    pub(super) fn bind(host: &HostBoot, at: SocketAddr) -> io::Result<Self> {
        host.with_host(|core, id| {
            let state = core.fabric.host(id);
            let port = state.port_for(at, |state, port| state.listeners.contains_key(&port))?;
            state.listeners.insert(port, Backlog::new(at.ip()));
            Ok(SimListener { host: host.clone(), at: SocketAddr::new(at.ip(), port) })
        })
    }

    fn poll_accept(&self, task: &mut Context<'_>) -> Poll<io::Result<(BoxStream, SocketAddr)>> {
        let accepted = self.host.with_host(|core, id| {
            let backlog = core.fabric.host(id).listeners.get_mut(&self.at.port());
            let backlog = backlog.expect("the listener is open until its handle is dropped");
            let Some(conn) = backlog.ready.pop_front() else {
                backlog.accept_waker = Some(task.waker().clone());
                return Ok(None);
            };
            Ok(Some((conn, core.with_conn(conn, |conn, _| conn.initiator_addr()))))
        });
        match accepted {
            Ok(None) => Poll::Pending,
            Ok(Some((conn, from))) => {
                let from = from.expect("a connection in the backlog has not finished");
                let handle = ConnHandle { host: self.host.clone(), conn, side: Side::Acceptor };
                Poll::Ready(Ok((handle.into_stream(), from)))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Listener for SimListener {
    fn is_simulated(&self) -> bool {
        true
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(poll_fn(|task| self.poll_accept(task)))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        // If the host has crashed, the listener is already closed.
        let _ = self.host.with_host(|core, id| {
            core.close_listener(id, self.at.port());
            Ok(())
        });
    }
}

struct Reader(ConnHandle);

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.0
            .with_conn(|conn, fabric| conn.poll_read(self.0.side, into, task, fabric))
            .unwrap_or_else(|| Poll::Ready(Err(host_crashed())))
    }
}

impl StreamReader for Reader {
    fn readable(&self) -> Option<usize> {
        self.0.with_conn(|conn, _| conn.readable(self.0.side))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.with_conn(|conn, fabric| conn.drop_reader(self.0.side, fabric));
    }
}

struct Writer(ConnHandle);

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0
            .with_conn(|conn, fabric| conn.poll_write(self.0.side, data, task, fabric))
            .unwrap_or_else(|| Poll::Ready(Err(host_crashed())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.with_conn(|conn, fabric| conn.shutdown_write(self.0.side, fabric));
        Poll::Ready(Ok(()))
    }
}

impl StreamWriter for Writer {
    fn abort_on_close(&mut self) {
        self.0.with_conn(|conn, _| conn.abort_on_close(self.0.side));
    }

    fn set_low_water(&mut self, bytes: usize) {
        self.0.with_conn(|conn, fabric| conn.set_low_water(self.0.side, bytes, fabric));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.with_conn(|conn, fabric| conn.drop_writer(self.0.side, fabric));
    }
}

fn host_crashed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "connection reset: the host crashed")
}
