//! The whole state of a simulated network, and the effects of its events.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    task::Waker,
};

use flyrpc::Region;
use tokio::{task::AbortHandle, time::Instant};

use super::{
    connection::Connection,
    connections::Connections,
    datagrams::Datagrams,
    event_queue::Event,
    fabric::Fabric,
    fault_event::{FaultEvent, PathFault},
    faults::Rule,
    host::{Health, HostTasks},
    ids::{Boot, ConnId, FaultId, HostId, Path, Side, TaskId},
    listener::Listener,
    resolver::Resolver,
    shaper::QueuedSend,
    socket::Packet,
    topology::HostInfo,
};
use crate::rng::Rng;

pub(crate) struct Core {
    pub(crate) fabric: Fabric,
    pub(crate) resolver: Resolver,
    pub(crate) driver: Driver,
    /// The number of times that programs and tests have used the network.
    pub(crate) steps: u64,
    pub(crate) fault_events: Listener<FaultEvent>,
    connections: Connections,
    datagrams: Datagrams,
}

/// Whether the driver task waits for the next event, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Driver {
    Idle,
    Until(Instant),
}

/// How a task that was woken is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskPoll {
    Run,
    /// Its host is frozen. The task is woken when the host is resumed.
    Park,
    /// Its host has crashed.
    Cancel,
}

impl Core {
    pub(crate) fn new(fabric: Fabric) -> Self {
        Core {
            fabric,
            resolver: Resolver::default(),
            driver: Driver::Idle,
            steps: 0,
            fault_events: Listener::default(),
            connections: Connections::new(),
            datagrams: Datagrams::default(),
        }
    }

    /// Processes all events that are due by `now`.
    pub(crate) fn advance(&mut self, now: Instant) {
        while let Some(event) = self.fabric.take_due(now) {
            match event {
                Event::StreamArrival { conn, from } => {
                    self.with_conn(conn, |conn, fabric| conn.on_arrival(from, fabric));
                }
                Event::DatagramArrival(packet) => {
                    self.datagrams.on_arrival(packet, &mut self.fabric);
                }
                Event::ShaperFree(path) => self.drain_shaper(path),
            }
        }
        self.fabric.now = now;
    }

    /// Serves the queue of a shaper until the shaper is busy.
    fn drain_shaper(&mut self, path: Path) {
        let now = self.fabric.now;
        while let Some(send) = self.fabric.shapers.dequeue(path, now) {
            match send {
                QueuedSend::Stream { conn, from } => {
                    self.with_conn(conn, |conn, fabric| conn.on_shaper_free(from, fabric));
                }
                QueuedSend::Datagram { packet, .. } => {
                    self.datagrams.on_shaper_free(packet, &mut self.fabric);
                }
            }
        }
    }

    pub(crate) fn connect(
        &mut self,
        from: (HostId, SocketAddr),
        to: (HostId, SocketAddr),
    ) -> ConnId {
        self.connections.open(from, to, &mut self.fabric)
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.connections.count()
    }

    /// Calls `act` with a connection unless it has finished. Removes the connection if it has finished
    /// after the call.
    pub(crate) fn with_conn<R>(
        &mut self,
        id: ConnId,
        act: impl FnOnce(&mut Connection, &mut Fabric) -> R,
    ) -> Option<R> {
        self.connections.with(id, &mut self.fabric, act)
    }

    pub(crate) fn send_datagram(&mut self, packet: Packet) {
        self.datagrams.send(packet, &mut self.fabric);
    }

    /// Sends the messages that were waiting for a path that is now open.
    pub(crate) fn resume_sending(&mut self) {
        self.connections.flush(&mut self.fabric);
        self.datagrams.release_held(&mut self.fabric);
        for path in self.fabric.free_changed_shapers() {
            self.drain_shaper(path);
        }
    }

    /// Stops listening at `port`, and resets the connections that were not accepted.
    pub(crate) fn close_listener(&mut self, host: HostId, port: u16) {
        let Some(backlog) = self.fabric.host(host).listeners.remove(&port) else { return };
        self.fabric.pending_wakes.extend(backlog.accept_waker);
        for id in backlog.ready {
            self.with_conn(id, |conn, fabric| conn.abandon(Side::Acceptor, fabric));
        }
    }

    /// Stops all programs of `host`. The caller must abort the returned tasks after it releases the lock.
    pub(crate) fn crash(&mut self, host: HostId) -> Vec<AbortHandle> {
        let ports: Vec<u16> = self.fabric.host(host).listeners.keys().copied().collect();
        for port in ports {
            self.close_listener(host, port);
        }
        self.connections.on_host_crash(host, &mut self.fabric);
        let crashed = self.fabric.host(host);
        crashed.health = Health::Crashed;
        crashed.freezes.clear();
        let sockets = std::mem::take(&mut crashed.sockets);
        let (tasks, guests) = crashed.tasks.take();
        let wakers = sockets.into_values().flat_map(|socket| socket.recv_wakers);
        self.fabric.pending_wakes.extend(wakers.chain(guests));
        tasks
    }

    fn info(&self, id: HostId) -> &HostInfo {
        self.fabric.topology.host(id)
    }

    pub(crate) fn host_name(&self, id: HostId) -> String {
        self.info(id).name.clone()
    }

    pub(crate) fn host_region(&self, id: HostId) -> Region {
        self.fabric.topology.region(id).clone()
    }

    pub(crate) fn host_ip(&self, id: HostId) -> IpAddr {
        self.info(id).ip
    }

    pub(crate) fn host_clock(&self, id: HostId, now: Instant) -> Instant {
        self.fabric.read_clock(id, now)
    }

    /// Returns the random number generators for the programs of one boot of the host: one for their choices, and
    /// one for their keys.
    pub(crate) fn host_rngs(&self, id: HostId, boot: Boot) -> (Rng, Rng) {
        let rng = |seed| Rng::new(seed, &self.info(id).name, boot.0);
        (rng(self.fabric.seed), rng(self.fabric.seed.rotate_left(32) ^ 0x7365_616c))
    }

    pub(crate) fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        self.resolver.resolve(name, &self.fabric.topology)
    }

    /// # Errors
    ///
    /// Returns [`NetworkDown`](io::ErrorKind::NetworkDown) if this boot of the host has crashed.
    pub(crate) fn check_boot(&self, id: HostId, boot: Boot) -> io::Result<()> {
        let host = &self.fabric.hosts[id.0];
        if host.is_running(boot) {
            return Ok(());
        }
        let message = format!("boot {} of host `{}` has crashed", boot.0, host.info.name);
        Err(io::Error::new(io::ErrorKind::NetworkDown, message))
    }

    pub(crate) fn tasks(&mut self, id: HostId) -> &mut HostTasks {
        &mut self.fabric.host(id).tasks
    }

    /// Decides whether a task of the host may be polled. If the host is frozen, keeps the task's waker.
    pub(crate) fn poll_task(
        &mut self,
        id: HostId,
        boot: Boot,
        task: TaskId,
        waker: &Waker,
    ) -> TaskPoll {
        self.steps += 1;
        let host = self.fabric.host(id);
        if !host.is_running(boot) {
            return TaskPoll::Cancel;
        }
        if host.health == Health::Frozen {
            host.tasks.park(task, waker.clone());
            return TaskPoll::Park;
        }
        TaskPoll::Run
    }

    pub(crate) fn freeze(&mut self, id: HostId, fault: FaultId) {
        let host = self.fabric.host(id);
        if host.health == Health::Crashed {
            return;
        }
        host.freezes.insert(fault);
        if host.health == Health::Running {
            host.health = Health::Frozen;
            self.emit_host_event(id, FaultEvent::Frozen);
        }
    }

    /// Ends one freeze. It may have already ended, since a crash ends all freezes.
    pub(crate) fn end_freeze(&mut self, id: HostId, fault: FaultId) {
        let host = self.fabric.host(id);
        if host.freezes.remove(&fault) && host.freezes.is_empty() {
            self.resume(id);
        }
    }

    pub(crate) fn resume(&mut self, id: HostId) {
        let Fabric { hosts, pending_wakes, .. } = &mut self.fabric;
        let host = &mut hosts[id.0];
        if host.health == Health::Frozen {
            host.health = Health::Running;
            pending_wakes.extend(host.tasks.unpark());
            self.emit_host_event(id, FaultEvent::Resumed);
        }
    }

    pub(crate) fn end_skew(&mut self, id: HostId, fault: FaultId) {
        if self.fabric.update_clock(id, |clock, _| clock.remove_skew(fault)) {
            self.emit_skew(id);
        }
    }

    pub(crate) fn end_drift(&mut self, id: HostId, fault: FaultId) {
        let Fabric { hosts, now, .. } = &mut self.fabric;
        if hosts[id.0].clock.remove_drift(fault, *now) {
            self.emit_drift(id);
        }
    }

    pub(crate) fn emit_skew(&mut self, id: HostId) {
        let ahead = self.fabric.host(id).clock.skew();
        self.emit_host_event(id, |host| FaultEvent::Skewed(host, ahead));
    }

    pub(crate) fn emit_drift(&mut self, id: HostId) {
        let fast = self.fabric.host(id).clock.drift();
        self.emit_host_event(id, |host| FaultEvent::Drifting(host, fast));
    }

    /// Ends the path faults that `ends` selects.
    pub(crate) fn heal(&mut self, ends: impl Fn(FaultId, &Rule) -> bool) {
        for rule in self.fabric.faults.remove(ends) {
            self.emit_path_event(rule, FaultEvent::Ended);
        }
        self.resume_sending();
    }

    pub(crate) fn emit_host_event(&mut self, id: HostId, event: impl FnOnce(String) -> FaultEvent) {
        let topology = &self.fabric.topology;
        self.fault_events.emit(|| event(topology.host(id).name.clone()));
    }

    pub(crate) fn emit_path_event(
        &mut self,
        rule: Rule,
        event: impl FnOnce(PathFault) -> FaultEvent,
    ) {
        let topology = &self.fabric.topology;
        self.fault_events.emit(|| event(PathFault::new(rule, topology)));
    }
}
