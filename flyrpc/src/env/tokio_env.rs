//! [`TokioEnv`]: tokio's tasks and sockets, the system's resolver and random numbers.

use std::{
    io,
    io::IoSlice,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tokio::{
    io::AsyncWrite,
    net::{TcpListener, TcpStream, UdpSocket, tcp::OwnedWriteHalf},
    time::Instant,
};

use super::environment::{BoxStream, Datagram, Env, Listener, StreamWriter};

/// The default runtime environment: tokio. The tasks of a node run on the runtime on which [`start`] was
/// called.
///
/// [`start`]: crate::NodeBuilder::start
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioEnv;

impl Env for TokioEnv {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn random(&self) -> u64 {
        rand::random()
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move { split(TcpStream::connect(to).await?) })
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(at).await?;
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    fn datagram(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Arc<dyn Datagram>>> {
        Box::pin(async move {
            let socket = UdpSocket::bind(at).await?;
            Ok(Arc::new(socket) as Arc<dyn Datagram>)
        })
    }

    fn resolve(&self, name: &str) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host(name).await?.collect()) })
    }
}

fn split(stream: TcpStream) -> io::Result<BoxStream> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    Ok(BoxStream {
        reader: Box::new(reader),
        writer: Box::new(TcpWriter { half: Some(writer), aborts: false }),
    })
}

struct TcpWriter {
    /// Present until the writer is dropped.
    half: Option<OwnedWriteHalf>,
    aborts: bool,
}

impl TcpWriter {
    fn half(&mut self) -> &mut OwnedWriteHalf {
        self.half.as_mut().expect("present until the writer is dropped")
    }
}

impl StreamWriter for TcpWriter {
    fn abort_on_close(&mut self) {
        self.aborts = true;
        // An error means that the socket is closed already.
        let _ = self.half().as_ref().set_zero_linger();
    }
}

impl Drop for TcpWriter {
    fn drop(&mut self) {
        if let Some(half) = self.half.take_if(|_| self.aborts) {
            // Dropping the half would first shut down the stream, and the peer would observe a graceful
            // close instead of a reset.
            half.forget();
        }
    }
}

impl AsyncWrite for TcpWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.half()).poll_write(task, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.half()).poll_write_vectored(task, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.half()).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.half()).poll_shutdown(task)
    }
}

impl Listener for TcpListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = TcpListener::accept(self).await?;
            Ok((split(stream)?, from))
        })
    }
}

impl Datagram for UdpSocket {
    fn send<'a>(&'a self, data: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { self.send_to(data, to).await.map(drop) })
    }

    fn receive<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(self.recv_from(into))
    }
}
