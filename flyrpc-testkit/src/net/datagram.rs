//! Datagram sockets. Each queues datagrams up to a bound on their bytes, and drops the rest.

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

use super::{
    host::{HostId, binding_accepts},
    shaper::Path,
};
use crate::env::SimEnv;

/// The largest payload of a UDP datagram over IPv4.
const MAX_PAYLOAD: usize = 65_507;

/// A datagram in flight.
pub(super) struct Packet {
    pub(super) from_host: HostId,
    pub(super) to_host: HostId,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) data: Bytes,
}

impl Packet {
    pub(super) fn path(&self) -> Path {
        Path { from: self.from_host, to: self.to_host }
    }
}

/// The kernel's half of a socket.
pub(super) struct Socket {
    at: IpAddr,
    capacity: usize,
    queue: VecDeque<(Bytes, SocketAddr)>,
    queued_bytes: usize,
    pub(super) recv_wakers: Vec<Waker>,
}

impl Socket {
    pub(super) fn new(at: IpAddr, capacity: usize) -> Self {
        Socket { at, capacity, queue: VecDeque::new(), queued_bytes: 0, recv_wakers: Vec::new() }
    }

    pub(super) fn accepts(&self, to: IpAddr) -> bool {
        binding_accepts(self.at, to)
    }

    /// Queues a datagram if there is room, and returns the wakers of the tasks that wait for one.
    pub(super) fn push(&mut self, data: Bytes, from: SocketAddr) -> Vec<Waker> {
        if self.queued_bytes + data.len() > self.capacity {
            return Vec::new();
        }
        self.queued_bytes += data.len();
        self.queue.push_back((data, from));
        std::mem::take(&mut self.recv_wakers)
    }

    fn poll_pop(&mut self, task: &mut Context<'_>) -> Poll<(Bytes, SocketAddr)> {
        if let Some((data, from)) = self.queue.pop_front() {
            self.queued_bytes -= data.len();
            return Poll::Ready((data, from));
        }
        if !self.recv_wakers.iter().any(|waker| waker.will_wake(task.waker())) {
            self.recv_wakers.push(task.waker().clone());
        }
        Poll::Pending
    }
}

/// The program's half of a socket.
pub(crate) struct SimDatagram {
    env: SimEnv,
    port: u16,
}

impl SimDatagram {
    pub(crate) fn bind(env: &SimEnv, at: SocketAddr) -> io::Result<Self> {
        env.with_host(|core, id| {
            let capacity = core.fabric.buffer;
            let host = core.fabric.host(id);
            let port = host.port_for(at, |host, port| host.sockets.contains_key(&port))?;
            host.sockets.insert(port, Socket::new(at.ip(), capacity));
            Ok(SimDatagram { env: env.clone(), port })
        })
    }

    fn try_send(&self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        if data.len() > MAX_PAYLOAD {
            let message = format!("{} bytes are more than a datagram's {MAX_PAYLOAD}", data.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.env.with_host(|core, id| {
            // As on a real network, it is no error if no host has the address.
            if let Some(to_host) = core.fabric.locate(id, to.ip()) {
                let from = core.fabric.source(id, to.ip(), self.port);
                let data = Bytes::copy_from_slice(data);
                core.fabric.send_datagram(Packet { from_host: id, to_host, from, to, data });
            }
            Ok(())
        })
    }

    fn poll_receive(&self, task: &mut Context<'_>) -> Poll<io::Result<(Bytes, SocketAddr)>> {
        let popped = self.env.with_host(|core, id| {
            let socket = core.fabric.host(id).sockets.get_mut(&self.port);
            Ok(socket.expect("open until its owner is dropped").poll_pop(task))
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
            // Truncated to the buffer, as UDP does.
            let len = data.len().min(into.len());
            into[..len].copy_from_slice(&data[..len]);
            Ok((len, from))
        })
    }
}

impl Drop for SimDatagram {
    fn drop(&mut self) {
        // Nothing is left to close if the host has crashed.
        let _ = self.env.with_host(|core, id| Ok(core.fabric.host(id).sockets.remove(&self.port)));
    }
}

impl fmt::Debug for SimDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDatagram({}:{})", self.env.ip(), self.port)
    }
}
