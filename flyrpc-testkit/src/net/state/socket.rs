//! The kernel's half of datagram sockets. A socket queues datagrams up to a bound on their total bytes,
//! and drops the rest.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::ids::{HostId, Path};

/// A datagram in flight.
pub(crate) struct Packet {
    pub(crate) from_host: HostId,
    pub(crate) to_host: HostId,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) data: Bytes,
}

impl Packet {
    pub(crate) fn path(&self) -> Path {
        Path { from: self.from_host, to: self.to_host }
    }
}

/// The kernel's half of a socket.
pub(crate) struct Socket {
    at: IpAddr,
    capacity: usize,
    queue: VecDeque<(Bytes, SocketAddr)>,
    queued_bytes: usize,
    pub(crate) recv_wakers: Vec<Waker>,
}

impl Socket {
    pub(crate) fn new(at: IpAddr, capacity: usize) -> Self {
        Socket { at, capacity, queue: VecDeque::new(), queued_bytes: 0, recv_wakers: Vec::new() }
    }

    pub(crate) fn accepts(&self, to: IpAddr) -> bool {
        binding_accepts(self.at, to)
    }

    /// Queues a datagram if there is room, and returns the wakers of the tasks that wait for a datagram.
    pub(crate) fn push(&mut self, data: Bytes, from: SocketAddr) -> Vec<Waker> {
        if self.queued_bytes + data.len() > self.capacity {
            return Vec::new();
        }
        self.queued_bytes += data.len();
        self.queue.push_back((data, from));
        std::mem::take(&mut self.recv_wakers)
    }

    pub(crate) fn poll_pop(&mut self, task: &mut Context<'_>) -> Poll<(Bytes, SocketAddr)> {
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

/// Returns whether a binding at `at` receives messages sent to `ip`.
pub(crate) fn binding_accepts(at: IpAddr, ip: IpAddr) -> bool {
    at.is_unspecified() || at == ip
}
