//! The whole state of a simulated network, and what happens in it when.

use std::{collections::BTreeMap, net::SocketAddr};

use tokio::{task::AbortHandle, time::Instant};

use super::{
    connection::{Conn, ConnId, Side},
    host::{Health, HostId},
    line::{Turn, Way},
    names::Names,
    news::{FaultNews, Listen},
    wire::{Event, Wire},
};

pub(crate) struct Core {
    pub(super) wire: Wire,
    pub(super) names: Names,
    pub(super) driver: Driver,
    pub(super) listener: Option<Listen>,
    /// What to tell the listener once the lock is given back: it is other people's code.
    pub(super) news: Vec<FaultNews>,
    conns: BTreeMap<ConnId, Conn>,
    opened: u64,
}

/// Whether a task waits for the next event, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Driver {
    Idle,
    Until(Instant),
}

impl Core {
    pub(super) fn new(wire: Wire) -> Self {
        Core {
            wire,
            names: Names::default(),
            driver: Driver::Idle,
            listener: None,
            news: Vec::new(),
            conns: BTreeMap::new(),
            opened: 0,
        }
    }

    /// Lets everything happen that is due by `now`.
    pub(super) fn advance(&mut self, now: Instant) {
        while let Some(event) = self.wire.take_due(now) {
            match event {
                Event::Stream { conn, from } => {
                    self.conn(conn, |conn, wire| conn.arrive(from, wire));
                }
                Event::Datagram(packet) => self.wire.deliver_datagram(packet),
                Event::Line(way) => self.take_turns(way),
            }
        }
        self.wire.now = now;
    }

    /// Lets those who wait for a line have it, one after the other, until it is busy.
    fn take_turns(&mut self, way: Way) {
        let now = self.wire.now;
        while let Some(turn) = self.wire.lines.next_turn(way, now) {
            match turn {
                Turn::Stream { conn, from } => {
                    self.conn(conn, |conn, wire| conn.take_turn(from, wire));
                }
                Turn::Datagram { packet, .. } => self.wire.take_turn(packet),
            }
        }
    }

    pub(super) fn open(&mut self, near: (HostId, SocketAddr), far: (HostId, SocketAddr)) -> ConnId {
        self.opened += 1;
        let id = ConnId(self.opened);
        self.conns.insert(id, Conn::open(id, near, far, &mut self.wire));
        id
    }

    pub(super) fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Acts on a connection if it is not over, and forgets it if it is over then.
    pub(super) fn conn<R>(
        &mut self,
        id: ConnId,
        act: impl FnOnce(&mut Conn, &mut Wire) -> R,
    ) -> Option<R> {
        let conn = self.conns.get_mut(&id)?;
        let result = act(conn, &mut self.wire);
        if conn.is_over() {
            self.conns.remove(&id);
        }
        Some(result)
    }

    /// Sends what waited for a way that is open now.
    pub(super) fn reopen(&mut self) {
        for conn in self.conns.values_mut() {
            conn.depart(Side::Near, &mut self.wire);
            conn.depart(Side::Far, &mut self.wire);
        }
        self.wire.release();
        for way in self.wire.free_changed_lines() {
            self.take_turns(way);
        }
    }

    /// Stops listening at `port`, and turns away who was not accepted.
    pub(super) fn close_listener(&mut self, host: HostId, port: u16) {
        let Some(backlog) = self.wire.host(host).listeners.remove(&port) else { return };
        self.wire.wakes.extend(backlog.accepting);
        for id in backlog.ready {
            self.conn(id, |conn, wire| conn.abandon(Side::Far, wire));
        }
    }

    /// Ends all that runs at `host`, without telling. The tasks must be aborted without holding the
    /// lock.
    pub(super) fn crash(&mut self, host: HostId) -> Vec<AbortHandle> {
        let ports: Vec<u16> = self.wire.host(host).listeners.keys().copied().collect();
        for port in ports {
            self.close_listener(host, port);
        }
        for conn in self.conns.values_mut() {
            conn.crash(host, &mut self.wire);
        }
        self.conns.retain(|_, conn| !conn.is_over());
        let crashed = self.wire.host(host);
        crashed.health = Health::Crashed;
        crashed.freezes.clear();
        let sockets = std::mem::take(&mut crashed.sockets);
        let tasks = crashed.tasks.take();
        self.wire.wakes.extend(sockets.into_values().flat_map(|socket| socket.receiving));
        tasks
    }
}
