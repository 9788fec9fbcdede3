//! What programs hold of connections: attempts, listeners, and the two halves of a stream.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use flyrpc::{BoxStream, Listener, StreamWriter};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    connection::{Conn, ConnId, Side},
    host::Backlog,
    wire::Wire,
};
use crate::env::SimEnv;

/// One end of a connection, for acting on it.
#[derive(Clone)]
struct Handle {
    env: SimEnv,
    conn: ConnId,
    side: Side,
}

impl Handle {
    /// Nothing if the connection is over: its host crashed, and there is no more to say to it.
    fn act<R>(&self, act: impl FnOnce(&mut Conn, &mut Wire) -> R) -> Option<R> {
        self.env.shared().with(|core| core.conn(self.conn, act))
    }

    fn into_stream(self) -> BoxStream {
        let reader = Reader(self.clone());
        BoxStream { reader: Box::new(reader), writer: Box::new(Writer(self)) }
    }
}

pub(crate) async fn connect(env: &SimEnv, to: SocketAddr) -> io::Result<BoxStream> {
    let conn = env.act(|core, id| {
        let Some(far) = core.wire.locate(id, to.ip()) else {
            let message = format!("no host of the simulated network has the address {}", to.ip());
            return Err(io::Error::new(io::ErrorKind::HostUnreachable, message));
        };
        let host = core.wire.host(id);
        let port = host.free_port(|host, port| host.listeners.contains_key(&port))?;
        let from = core.wire.source(id, to.ip(), port);
        Ok(core.open((id, from), (far, to)))
    })?;
    let attempt = Attempt(Some(Handle { env: env.clone(), conn, side: Side::Near }));
    poll_fn(|task| attempt.poll(task)).await?;
    Ok(attempt.into_stream())
}

/// Gives the attempt up when dropped.
struct Attempt(Option<Handle>);

impl Attempt {
    fn poll(&self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let handle = self.0.as_ref().expect("polled before it is turned into a stream");
        handle.act(|conn, _| conn.poll_opened(task)).unwrap_or_else(|| Poll::Ready(Err(gone())))
    }

    fn into_stream(mut self) -> BoxStream {
        self.0.take().expect("turned into a stream once").into_stream()
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.act(|conn, wire| conn.abandon(handle.side, wire));
        }
    }
}

pub(crate) struct SimListener {
    env: SimEnv,
    at: SocketAddr,
}

impl SimListener {
    pub(crate) fn bind(env: &SimEnv, at: SocketAddr) -> io::Result<Self> {
        env.act(|core, id| {
            let host = core.wire.host(id);
            let port = host.port_for(at, |host, port| host.listeners.contains_key(&port))?;
            host.listeners.insert(port, Backlog::new(at.ip()));
            Ok(SimListener { env: env.clone(), at: SocketAddr::new(at.ip(), port) })
        })
    }

    fn poll_accept(&self, task: &mut Context<'_>) -> Poll<io::Result<(BoxStream, SocketAddr)>> {
        let accepted = self.env.act(|core, id| {
            let backlog = core.wire.host(id).listeners.get_mut(&self.at.port());
            let backlog = backlog.expect("open as long as its owner lives");
            let Some(conn) = backlog.ready.pop_front() else {
                backlog.accepting = Some(task.waker().clone());
                return Ok(None);
            };
            Ok(Some((conn, core.conn(conn, |conn, _| conn.near_addr()))))
        });
        match accepted {
            Ok(None) => Poll::Pending,
            Ok(Some((conn, from))) => {
                let from = from.expect("not over before it is accepted");
                let handle = Handle { env: self.env.clone(), conn, side: Side::Far };
                Poll::Ready(Ok((handle.into_stream(), from)))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Listener for SimListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(poll_fn(|task| self.poll_accept(task)))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        // Nothing is left to close if the host has crashed.
        let _ = self.env.act(|core, id| {
            core.close_listener(id, self.at.port());
            Ok(())
        });
    }
}

struct Reader(Handle);

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
            .act(|conn, wire| conn.poll_read(self.0.side, into, task, wire))
            .unwrap_or_else(|| Poll::Ready(Err(gone())))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.act(|conn, wire| conn.drop_reader(self.0.side, wire));
    }
}

struct Writer(Handle);

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0
            .act(|conn, wire| conn.poll_write(self.0.side, data, task, wire))
            .unwrap_or_else(|| Poll::Ready(Err(gone())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.act(|conn, wire| conn.shut(self.0.side, wire));
        Poll::Ready(Ok(()))
    }
}

impl StreamWriter for Writer {
    fn abort_on_close(&mut self) {
        self.0.act(|conn, _| conn.abort_on_close(self.0.side));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.act(|conn, wire| conn.drop_writer(self.0.side, wire));
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was reset: its host crashed")
}
