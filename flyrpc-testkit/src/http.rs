//! HTTP on the simulated network: servers of axum, and a client.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, http::Uri};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use tower_service::Service;

use crate::net::{SimEnv, SimTcpListener, SimTcpStream};

impl axum::serve::Listener for SimTcpListener {
    type Io = SimTcpStream;
    type Addr = SocketAddr;

    /// Waits for the next connection. Never returns after a crash of the host.
    async fn accept(&mut self) -> (SimTcpStream, SocketAddr) {
        match SimTcpListener::accept(self).await {
            Ok(accepted) => accepted,
            Err(_crashed) => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        SimTcpListener::local_addr(self)
    }
}

/// An HTTP/1.1 client on a simulated host, with a pool of connections. Its URIs name hosts of the network, such as
/// `http://iad-0:8080/notes`.
pub type HttpClient = Client<SimConnector, Body>;

/// Opens the connections of an [`HttpClient`] on the simulated network.
#[derive(Debug, Clone)]
pub struct SimConnector(SimEnv);

impl SimEnv {
    /// Returns an HTTP client on this host. Hyper runs each of its connections in a task of `tokio::spawn`, which does not
    /// belong to the host. Use it on a [host](crate::SimCluster::add_host) without a node, such as that of a user.
    pub fn http_client(&self) -> HttpClient {
        Client::builder(TokioExecutor::new()).build(SimConnector(self.clone()))
    }
}

impl Service<Uri> for SimConnector {
    type Response = HttpStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<HttpStream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let env = self.0.clone();
        Box::pin(async move {
            let host = uri.host().ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("{uri} names no host"))
            })?;
            let to = format!("{host}:{}", uri.port_u16().unwrap_or(80));
            Ok(HttpStream(TokioIo::new(env.tcp_connect(&to).await?)))
        })
    }
}

/// A connection of an [`HttpClient`].
#[derive(Debug)]
pub struct HttpStream(TokioIo<SimTcpStream>);

impl Connection for HttpStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for HttpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(task, into)
    }
}

impl hyper::rt::Write for HttpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(task, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(task)
    }
}
