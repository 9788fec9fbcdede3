//! Datagram sockets of programs.

use std::{
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use bytes::Bytes;
use flyrpc::Datagram;
use futures_util::future::BoxFuture;

use super::{
    boot::HostBoot,
    state::{Packet, Socket},
};

/// The largest payload of a UDP datagram over IPv4, in bytes.
const MAX_PAYLOAD: usize = 65_507;

pub(super) struct SimDatagram {
    host: HostBoot,
    port: u16,
}

impl SimDatagram {
    pub(super) fn bind(host: &HostBoot, at: SocketAddr) -> io::Result<Self> {
        host.with_host(|core, id| {
            let capacity = core.fabric.buffer;
            let state = core.fabric.host(id);
            let port = state.port_for(at, |state, port| state.sockets.contains_key(&port))?;
            state.sockets.insert(port, Socket::new(at.ip(), capacity));
            Ok(SimDatagram { host: host.clone(), port })
        })
    }

    fn try_send(&self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        if data.len() > MAX_PAYLOAD {
            let message =
                format!("datagram of {} bytes exceeds the limit of {MAX_PAYLOAD}", data.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.host.with_host(|core, id| {
            // As on a real network, sending to an address that no host has is not an error.
            if let Some(to_host) = core.fabric.topology.locate(id, to.ip()) {
                let from = core.fabric.topology.source(id, to.ip(), self.port);
                let data = Bytes::copy_from_slice(data);
                core.send_datagram(Packet { from_host: id, to_host, from, to, data });
            }
            Ok(())
        })
    }

    fn poll_receive(&self, task: &mut Context<'_>) -> Poll<io::Result<(Bytes, SocketAddr)>> {
        let popped = self.host.with_host(|core, id| {
            let socket = core.fabric.host(id).sockets.get_mut(&self.port);
            Ok(socket.expect("the socket is open until its handle is dropped").poll_pop(task))
        });
        match popped {
            Ok(popped) => popped.map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Datagram for SimDatagram {
    fn send<'a>(&'a self, data: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { self.try_send(data, to) })
    }

    fn receive<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(async move {
            let (data, from) = poll_fn(|task| self.poll_receive(task)).await?;
            // Truncate to the buffer, as UDP does.
            let len = data.len().min(into.len());
            into[..len].copy_from_slice(&data[..len]);
            Ok((len, from))
        })
    }
}

impl Drop for SimDatagram {
    fn drop(&mut self) {
        // If the host has crashed, the socket is already closed.
        let _ = self.host.with_host(|core, id| Ok(core.fabric.host(id).sockets.remove(&self.port)));
    }
}

impl fmt::Debug for SimDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDatagram({}:{})", self.host.ip(), self.port)
    }
}
