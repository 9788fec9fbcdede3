//! The whole state of a simulated network, and the effects of its events.

use std::{collections::BTreeMap, net::SocketAddr};

use tokio::{task::AbortHandle, time::Instant};

use super::{
    connection::{ConnId, Connection, Side},
    fabric::{Event, Fabric},
    fault_event::{FaultEvent, FaultListener},
    host::{Health, HostId},
    resolver::Resolver,
    shaper::{Path, QueuedSend},
};

pub(crate) struct Core {
    pub(super) fabric: Fabric,
    pub(super) resolver: Resolver,
    pub(super) driver: Driver,
    pub(super) fault_listener: Option<FaultListener>,
    /// Events for the listener once the lock is released: it runs other people's code.
    pub(super) fault_events: Vec<FaultEvent>,
    connections: BTreeMap<ConnId, Connection>,
    last_conn: ConnId,
}

/// Whether a task waits for the next event, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Driver {
    Idle,
    Until(Instant),
}

impl Core {
    pub(super) fn new(fabric: Fabric) -> Self {
        Core {
            fabric,
            resolver: Resolver::default(),
            driver: Driver::Idle,
            fault_listener: None,
            fault_events: Vec::new(),
            connections: BTreeMap::new(),
            last_conn: ConnId(0),
        }
    }

    /// Processes all events that are due by `now`.
    pub(super) fn advance(&mut self, now: Instant) {
        while let Some(event) = self.fabric.take_due(now) {
            match event {
                Event::StreamArrival { conn, from } => {
                    self.with_conn(conn, |conn, fabric| conn.on_arrival(from, fabric));
                }
                Event::DatagramArrival(packet) => self.fabric.deliver_datagram(packet),
                Event::ShaperFree(path) => self.drain_shaper(path),
            }
        }
        self.fabric.now = now;
    }

    /// Serves the queue of a shaper until it is busy.
    fn drain_shaper(&mut self, path: Path) {
        let now = self.fabric.now;
        while let Some(send) = self.fabric.shapers.dequeue(path, now) {
            match send {
                QueuedSend::Stream { conn, from } => {
                    self.with_conn(conn, |conn, fabric| conn.on_shaper_free(from, fabric));
                }
                QueuedSend::Datagram { packet, .. } => self.fabric.send_queued_datagram(packet),
            }
        }
    }

    pub(super) fn connect(
        &mut self,
        from: (HostId, SocketAddr),
        to: (HostId, SocketAddr),
    ) -> ConnId {
        self.last_conn = ConnId(self.last_conn.0 + 1);
        let id = self.last_conn;
        self.connections.insert(id, Connection::open(id, from, to, &mut self.fabric));
        id
    }

    pub(super) fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// Calls `act` with a connection unless it has finished, and removes it if it has then.
    pub(super) fn with_conn<R>(
        &mut self,
        id: ConnId,
        act: impl FnOnce(&mut Connection, &mut Fabric) -> R,
    ) -> Option<R> {
        let conn = self.connections.get_mut(&id)?;
        let result = act(conn, &mut self.fabric);
        if conn.is_finished() {
            self.connections.remove(&id);
        }
        Some(result)
    }

    /// Sends the messages that waited for a path that is open now.
    pub(super) fn resume_sending(&mut self) {
        for conn in self.connections.values_mut() {
            conn.flush(Side::Initiator, &mut self.fabric);
            conn.flush(Side::Acceptor, &mut self.fabric);
        }
        self.fabric.release_held();
        for path in self.fabric.free_changed_shapers() {
            self.drain_shaper(path);
        }
    }

    /// Stops listening at `port`, and resets the connections that were not accepted.
    pub(super) fn close_listener(&mut self, host: HostId, port: u16) {
        let Some(backlog) = self.fabric.host(host).listeners.remove(&port) else { return };
        self.fabric.pending_wakes.extend(backlog.accept_waker);
        for id in backlog.ready {
            self.with_conn(id, |conn, fabric| conn.abandon(Side::Acceptor, fabric));
        }
    }

    /// Stops all programs of `host`. The caller must abort the returned tasks without the lock.
    pub(super) fn crash(&mut self, host: HostId) -> Vec<AbortHandle> {
        let ports: Vec<u16> = self.fabric.host(host).listeners.keys().copied().collect();
        for port in ports {
            self.close_listener(host, port);
        }
        for conn in self.connections.values_mut() {
            conn.on_host_crash(host, &mut self.fabric);
        }
        self.connections.retain(|_, conn| !conn.is_finished());
        let crashed = self.fabric.host(host);
        crashed.health = Health::Crashed;
        crashed.freezes.clear();
        let sockets = std::mem::take(&mut crashed.sockets);
        let tasks = crashed.tasks.take();
        let wakers = sockets.into_values().flat_map(|socket| socket.recv_wakers);
        self.fabric.pending_wakes.extend(wakers);
        tasks
    }
}
