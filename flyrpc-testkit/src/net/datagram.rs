//! Datagram sockets: what arrives is queued up to a bound, and lost beyond it.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use flyrpc::Datagram;
use futures_util::future::BoxFuture;

use super::host::{HostId, reaches};
use crate::env::SimEnv;

/// The most that a UDP datagram over IPv4 carries.
const LARGEST: usize = 65_507;

/// A datagram under way.
pub(super) struct Packet {
    pub(super) from_host: HostId,
    pub(super) to_host: HostId,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) data: Bytes,
}

/// The kernel's side of a socket.
pub(super) struct Socket {
    at: IpAddr,
    capacity: usize,
    queue: VecDeque<(Bytes, SocketAddr)>,
    queued: usize,
    pub(super) receiving: Vec<Waker>,
}

impl Socket {
    pub(super) fn new(at: IpAddr, capacity: usize) -> Self {
        Socket { at, capacity, queue: VecDeque::new(), queued: 0, receiving: Vec::new() }
    }

    pub(super) fn takes(&self, to: IpAddr) -> bool {
        reaches(self.at, to)
    }

    /// Queues a datagram if there is room, and returns who waits for it.
    pub(super) fn push(&mut self, data: Bytes, from: SocketAddr) -> Vec<Waker> {
        if self.queued + data.len() > self.capacity {
            return Vec::new();
        }
        self.queued += data.len();
        self.queue.push_back((data, from));
        std::mem::take(&mut self.receiving)
    }

    fn poll_pop(&mut self, task: &mut Context<'_>) -> Poll<(Bytes, SocketAddr)> {
        if let Some((data, from)) = self.queue.pop_front() {
            self.queued -= data.len();
            return Poll::Ready((data, from));
        }
        if !self.receiving.iter().any(|waker| waker.will_wake(task.waker())) {
            self.receiving.push(task.waker().clone());
        }
        Poll::Pending
    }
}

/// A program's side of a socket.
pub(crate) struct SimDatagram {
    env: SimEnv,
    port: u16,
}

impl SimDatagram {
    pub(crate) fn bind(env: &SimEnv, at: SocketAddr) -> io::Result<Self> {
        env.act(|core, id| {
            let capacity = core.wire.buffer;
            let host = core.wire.host(id);
            let port = host.port_for(at, |host, port| host.sockets.contains_key(&port))?;
            host.sockets.insert(port, Socket::new(at.ip(), capacity));
            Ok(SimDatagram { env: env.clone(), port })
        })
    }

    fn send_now(&self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        if data.len() > LARGEST {
            let message = format!("{} bytes are more than a datagram's {LARGEST}", data.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.env.act(|core, id| {
            // As on a real network, an address that nobody has is no error.
            if let Some(to_host) = core.wire.locate(id, to.ip()) {
                let from = core.wire.source(id, to.ip(), self.port);
                let data = Bytes::copy_from_slice(data);
                core.wire.send_datagram(Packet { from_host: id, to_host, from, to, data });
            }
            Ok(())
        })
    }

    fn poll_receive(&self, task: &mut Context<'_>) -> Poll<io::Result<(Bytes, SocketAddr)>> {
        let popped = self.env.act(|core, id| {
            let socket = core.wire.host(id).sockets.get_mut(&self.port);
            Ok(socket.expect("open as long as its owner lives").poll_pop(task))
        });
        match popped {
            Ok(popped) => popped.map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Datagram for SimDatagram {
    fn send<'a>(&'a self, data: &'a [u8], to: SocketAddr) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { self.send_now(data, to) })
    }

    fn receive<'a>(&'a self, into: &'a mut [u8]) -> BoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(async move {
            let (data, from) = poll_fn(|task| self.poll_receive(task)).await?;
            // What does not fit is cut off, as it is from a UDP datagram.
            let len = data.len().min(into.len());
            into[..len].copy_from_slice(&data[..len]);
            Ok((len, from))
        })
    }
}

impl Drop for SimDatagram {
    fn drop(&mut self) {
        // Nothing is left to close if the host has crashed.
        let _ = self.env.act(|core, id| Ok(core.wire.host(id).sockets.remove(&self.port)));
    }
}

impl fmt::Debug for SimDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDatagram({}:{})", self.env.ip(), self.port)
    }
}
